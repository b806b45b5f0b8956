//! Characters that look like others or like nothing: no-break and zero-width spaces, letters of other alphabets, typographic
//! quotes and dashes. Finds and names them. It judges nothing: names in a file may be of any alphabet.

use std::borrow::Cow;

/// A character that is easily taken for another one, or not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd {
    /// Its first byte in the text.
    pub(super) at: usize,
    /// The character.
    pub(super) character: char,
    /// What it is: "a no-break space".
    name: &'static str,
    /// What people take it for; `None`: nothing.
    like: Option<char>,
}

impl Odd {
    /// `U+00A0, a no-break space`, with what it looks like where that isn't in the name.
    pub(super) fn describe(self) -> String {
        let code = code(self.character);
        match self.like {
            Some(like) if like != ' ' => format!("{code}, {} that looks like `{like}`", self.name),
            _ => format!("{code}, {}", self.name),
        }
    }

    /// What to do about it.
    pub(super) fn mend(self) -> String {
        match self.like {
            Some(' ') => "type a plain space".into(),
            Some(like) => format!("type `{like}`"),
            None => "delete it".into(),
        }
    }
}

/// `U+00A0`
pub(super) fn code(character: char) -> String {
    format!("U+{:04X}", u32::from(character))
}

/// The first such character of a text.
pub(super) fn first(text: &str) -> Option<Odd> {
    text.char_indices().find_map(|(at, character)| odd(at, character))
}

/// A sentence about the first such character of a name, for after "did you mean".
pub(super) fn note(name: &str) -> Option<String> {
    let odd = first(name)?;
    let number = name[..odd.at].chars().count() + 1;
    Some(format!("Character {number} of what is written here is {}: {}", odd.describe(), odd.mend()))
}

/// The text with the characters that people see in it.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.into();
    }
    let seen = |(at, character)| odd(at, character).map_or(Some(character), |odd| odd.like);
    text.char_indices().filter_map(seen).collect::<String>().into()
}

/// True for what nobody sees or takes for a plain space.
pub(super) fn is_invisible(character: char) -> bool {
    odd(0, character).is_some_and(|odd| matches!(odd.like, None | Some(' ')))
}

fn odd(at: usize, character: char) -> Option<Odd> {
    if character.is_ascii() {
        return None;
    }
    let (name, like) = match character {
        '\u{a0}' | '\u{2007}' | '\u{202f}' => ("a no-break space", Some(' ')),
        '\u{2000}'..='\u{200a}' | '\u{205f}' | '\u{3000}' => ("a space that isn't the keyboard's", Some(' ')),
        '\u{2028}' | '\u{2029}' => ("a line separator", Some(' ')),
        '\u{ad}' => ("a soft hyphen, mostly invisible", None),
        '\u{200b}' => ("a zero-width space", None),
        '\u{200c}' | '\u{200d}' | '\u{2060}' => ("an invisible joiner", None),
        '\u{feff}' => ("an invisible byte order mark", None),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            ("an invisible mark of the writing direction", None)
        }
        '\u{2010}'..='\u{2015}' => ("a typographic dash", Some('-')),
        '\u{2212}' => ("a minus sign", Some('-')),
        '\u{2018}'..='\u{201b}' => ("a typographic quote", Some('\'')),
        '\u{201c}'..='\u{201f}' => ("a typographic quote", Some('"')),
        '\u{ff01}'..='\u{ff5e}' => ("a full-width character", char::from_u32(u32::from(character) - 0xfee0)),
        _ => letter(character)?,
    };
    Some(Odd { at, character, name, like })
}

/// Letters of other alphabets that fonts draw like Latin ones: those that Unicode's list of confusables gives, and keyboards have.
fn letter(character: char) -> Option<(&'static str, Option<char>)> {
    const CYRILLIC: [&str; 2] = ["аеорсухіѕјһԁАВЕКМНОРСТХУІЅЈ", "aeopcyxisjhdABEKMHOPCTXYISJ"];
    const GREEK: [&str; 2] = ["ανιορυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aviopuABEZHIKMNOPTYX"];
    let find = |[from, to]: [&str; 2]| from.chars().position(|other| other == character).and_then(|at| to.chars().nth(at));
    let cyrillic = find(CYRILLIC).map(|like| ("a Cyrillic letter", Some(like)));
    cyrillic.or_else(|| find(GREEK).map(|like| ("a Greek letter", Some(like))))
}

#[cfg(test)]
mod tests {
    use super::{first, note, plain};

    #[test]
    fn what_looks_alike_is_named_and_read_as_it_looks() {
        for (text, seen, code) in [
            ("s\u{435}ed", "seed", "U+0435, a Cyrillic letter that looks like `e`"),
            ("num_\u{200b}epochs", "num_epochs", "U+200B, a zero-width space"),
            ("seed:\u{a0}1", "seed: 1", "U+00A0, a no-break space"),
            ("\u{ff53}eed", "seed", "U+FF53, a full-width character that looks like `s`"),
            ("\u{2212}1", "-1", "U+2212, a minus sign that looks like `-`"),
            ("\u{3bf}ptim", "optim", "U+03BF, a Greek letter that looks like `o`"),
        ] {
            assert_eq!(plain(text), seen);
            assert_eq!(first(text).map(super::Odd::describe).as_deref(), Some(code));
        }
        for text in ["seed", "größe", "画像", "caf\u{e9}"] {
            assert_eq!((plain(text).as_ref(), note(text)), (text, None));
        }
        assert_eq!(
            note("num_\u{200b}epochs").as_deref(),
            Some("Character 5 of what is written here is U+200B, a zero-width space: delete it")
        );
    }
}
