//! Names that look alike and aren't: the same text in two Unicode forms, as files have that were on a Mac. Holds no tables, so it tells what is likely,
//! for messages; it joins nothing.

/// Whether two names may differ in Unicode form alone: where they differ, one has a letter and marks, and the other one character for both.
pub(crate) fn may_differ_in_form_alone(left: &str, right: &str) -> bool {
    let [left, right] = [left, right].map(clusters);
    let alike = |(left, right): (&Vec<char>, &Vec<char>)| {
        let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
        left == right || (short.len() < long.len() && short.first().is_some_and(|first| !first.is_ascii()))
    };
    left != right && left.len() == right.len() && left.iter().zip(&right).all(alike)
}

/// Characters, each with the marks that follow it.
fn clusters(text: &str) -> Vec<Vec<char>> {
    let mut found: Vec<Vec<char>> = Vec::new();
    for next in text.chars() {
        match found.last_mut() {
            Some(last) if is_mark(next) => last.push(next),
            _ => found.push(vec![next]),
        }
    }
    found
}

/// Combining marks of Latin, Greek and Cyrillic letters, of kana, and what follows the first part of a Hangul syllable.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1161}'..='\u{11ff}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{3099}' | '\u{309a}')
}

/// What to do about a pair of such names; `None` where no two of them are alike.
pub(crate) fn hint<'a>(images: impl Iterator<Item = &'a str>, masks: impl Iterator<Item = &'a str>) -> Option<String> {
    let masks: Vec<&str> = masks.filter(|name| !name.is_ascii()).collect();
    let (image, mask) = images
        .filter(|name| !name.is_ascii())
        .find_map(|image| masks.iter().find(|mask| may_differ_in_form_alone(image, mask)).map(|mask| (image, *mask)))?;
    let form = |name: &str| if name.chars().any(is_mark) { "NFD" } else { "NFC" };
    Some(format!(
        "the image `{image}` ({}) and the mask `{mask}` ({}) differ in Unicode form alone, as files do that were on a Mac: give both one form, such \
         as with convmv -r -f utf8 -t utf8 --nfc --notest FOLDER",
        form(image),
        form(mask)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_two_forms_are_told_from_other_names() {
        for (left, right, expected) in [
            ("œil_é_1", "œil_e\u{301}_1", true),
            ("a\u{30a}", "å", true),
            ("ế", "e\u{302}\u{301}", true),
            ("ế", "ê\u{301}", true),
            ("한", "\u{1112}\u{1161}\u{11ab}", true),
            ("が", "か\u{3099}", true),
            ("é", "é", false),
            ("e", "é", false),
            ("e", "e\u{301}", false),
            ("é_1", "e\u{301}_2", false),
            ("é", "e\u{301}a", false),
            ("", "é", false),
        ] {
            assert_eq!(may_differ_in_form_alone(left, right), expected, "{left} {right}");
            assert_eq!(may_differ_in_form_alone(right, left), expected, "{right} {left}");
        }
        let told = hint(["a", "é.png"].into_iter(), ["b", "ü", "e\u{301}.png"].into_iter()).unwrap();
        assert!(told.contains("`é.png` (NFC)") && told.contains("(NFD) differ in Unicode form alone"), "{told}");
        assert_eq!(hint(["é"].into_iter(), ["ü"].into_iter()), None);
    }
}
