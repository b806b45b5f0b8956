//! "Did you mean": the nearest of the names that would have been right.

use super::characters;
use super::node::quote;

/// Longer words are not compared: they are no typos, and comparing them is slow.
const LONGEST: usize = 64;

/// The name that `word` was probably meant to be; nothing where none is near.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let word = fold(word);
    let scored = names.into_iter().filter(|name| name.len() <= LONGEST).filter_map(|name| {
        let other = fold(name);
        let longest = word.len().max(other.len());
        // A typo changes up to a third of the word, and at most three letters.
        let allowed = (longest / 3).clamp(1, 3);
        if word.len().abs_diff(other.len()) <= allowed {
            let distance = strsim::osa_distance(&word, &other);
            if distance <= allowed && distance < longest {
                return Some((distance, name));
            }
        }
        // A prefix of the name (`optim` for `optimizer_step`), or a word that begins much like it.
        let begins = word.len() >= 4 && (other.starts_with(&word) || other.split('_').any(|part| part == word));
        (begins || strsim::jaro_winkler(&word, &other) > 0.92).then_some((allowed + 1, name))
    });
    scored.min_by_key(|(score, _)| *score).map(|(_, name)| name)
}

/// True for two names that differ by one or two typos.
pub(super) fn is_slip(word: &str, name: &str) -> bool {
    word.len() <= LONGEST && word != name && strsim::osa_distance(word, name) <= 2 && name.len() > 5
}

/// Help for a name that doesn't exist: the nearest one, or all of them.
pub(super) fn help(word: &str, names: &[&str], all: &str) -> String {
    match nearest(word, names.iter().copied()) {
        Some(name) => did_you_mean(word, name),
        None if names.is_empty() => noted(format!("{all}: none"), word),
        None => noted(format!("{all}: {}", names.join(", ")), word),
    }
}

/// Help for a word that was probably meant to be `name`.
pub(super) fn did_you_mean(word: &str, name: &str) -> String {
    noted(format!("did you mean {}?", quote(name)), word)
}

/// Help, with what people can't see of the word.
fn noted(help: String, word: &str) -> String {
    match characters::note(word) {
        Some(note) if help.ends_with('?') => format!("{help} {note}"),
        Some(note) => format!("{help}. {note}"),
        None => help,
    }
}

fn fold(word: &str) -> String {
    characters::plain(word).trim().to_lowercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_their_name_and_other_words_find_none() {
        let kinds = [
            "accumulate",
            "augment",
            "batch",
            "cleanup",
            "decode",
            "fives",
            "normalize",
            "optimizer_step",
            "resize",
            "train_step",
        ];
        for (word, name) in [
            ("resise", "resize"),
            ("Resize", "resize"),
            ("reszie", "resize"),
            ("trainstep", "train_step"),
            ("train-step", "train_step"),
            ("train", "train_step"),
            ("optimizer", "optimizer_step"),
            ("optimiser_step", "optimizer_step"),
            ("accumulation", "accumulate"),
            ("five", "fives"),
            ("clean_up", "cleanup"),
        ] {
            assert_eq!(nearest(word, kinds), Some(name), "{word}");
        }
        for word in ["", "x", "save", "dice", "preview", "model"] {
            assert_eq!(nearest(word, kinds), None, "{word}");
        }
    }
}
