//! Collects all that is wrong with a folder of samples, so that one error names everything.
//! Not for a single file's trouble, which `read` reports.

use pipeline_contract::{Result, StageError};

/// What is wrong so far, each with the names that it concerns.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// Adds one problem.
    pub(crate) fn add(&mut self, what: impl Into<String>) {
        self.0.push(what.into());
    }

    /// Adds a problem with several files; nothing when `names` is empty.
    pub(crate) fn add_names(&mut self, what: &str, names: &[String]) {
        if !names.is_empty() {
            self.add(format!("{what}: {}", listed(names)));
        }
    }

    /// Nothing is wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All problems as one error; `Ok` without problems.
    pub(crate) fn finish(self, help: &str) -> Result<()> {
        match self.0.as_slice() {
            [] => Ok(()),
            problems => Err(StageError::new(problems.join("; ")).help(help)),
        }
    }
}

/// Maximum names in an error: a message of 600 names is no help.
const MOST_NAMES: usize = 20;

/// Names, joined by commas; the first few and a count when there are very many.
pub(crate) fn listed(names: &[String]) -> String {
    match names.len().checked_sub(MOST_NAMES) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..MOST_NAMES].join(", ")),
        _ => names.join(", "),
    }
}

/// A few names, for what is told beside something else; `None` of none.
pub(crate) fn few(names: &[String]) -> Option<String> {
    match names {
        [] => None,
        [first, second, third, _, more @ ..] => Some(format!("{first}, {second}, {third} and {} more", more.len() + 1)),
        few => Some(few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_in_one_error_and_long_lists_end_in_a_count() {
        let mut problems = Problems::default();
        problems.add_names("nothing", &[]);
        assert!(problems.is_empty());
        problems.add_names("images without a mask", &["a".into(), "b".into()]);
        problems.add_names("masks without an image", &(0..25).map(|name| name.to_string()).collect::<Vec<_>>());
        let error = problems.finish("fix it").unwrap_err();
        assert!(error.message().starts_with("images without a mask: a, b; masks without an image: 0, 1, 2,"));
        assert!(error.message().ends_with("19 and 5 more"));
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        assert_eq!(
            [0, 1, 3, 4].map(|count| few(&names[..count])),
            [None, Some("a".into()), Some("a, b, c".into()), Some("a, b, c and 1 more".into())]
        );
    }
}
