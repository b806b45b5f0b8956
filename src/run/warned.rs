//! What stages warned of in their data: said once for each kind, counted, and kept for the summary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};

use pipeline_contract::events::{Event, Line, WarningEvent};
use serde::Serialize;

use super::Folder;

/// How many subjects of a kind are named.
const EXAMPLES: usize = 3;

/// The warnings of one kind by one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WarningCount {
    /// The id of the stage.
    pub stage: String,
    /// What kind of thing it is, such as `mask_share`.
    pub kind: String,
    /// How many files or folders are of that kind.
    pub count: usize,
    /// The first of them by name.
    pub examples: Vec<String>,
    /// What was said of the first that was found.
    pub message: String,
}

/// What was warned of so far, by stage and kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warned(BTreeMap<(String, String), Group>);

#[derive(Debug, Clone)]
struct Group {
    message: String,
    subjects: BTreeSet<String>,
}

impl Warned {
    /// What a run had warned of before the checkpoint that it resumes from: the lines of the first `bytes` of its figures.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn before(folder: &Folder, bytes: u64) -> io::Result<Self> {
        let mut warned = Self::default();
        let file = match File::open(folder.path().join("metrics.jsonl")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(warned),
            file => file?,
        };
        for line in BufReader::new(file.take(bytes)).lines() {
            let line = line?;
            // Only these lines are worth parsing: there is one for every step.
            if !line.contains("\"warning\"") {
                continue;
            }
            if let Ok(Line { event: Event::Warning(warning), .. }) = serde_json::from_str(&line) {
                warned.insert(&warning);
            }
        }
        Ok(warned)
    }

    /// Takes a warning in, and says it if it is the first of its kind. False if it was there: the same file is read in each epoch.
    pub fn see(&mut self, warning: &WarningEvent) -> bool {
        let first = !self.0.contains_key(&(warning.stage.clone(), warning.kind.clone()));
        let new = self.insert(warning);
        if first {
            tracing::warn!("{}: {} (others of this kind are counted)", warning.stage, warning.message);
        }
        new
    }

    fn insert(&mut self, WarningEvent { stage, kind, subject, message }: &WarningEvent) -> bool {
        let new = || Group { message: message.clone(), subjects: BTreeSet::new() };
        self.0.entry((stage.clone(), kind.clone())).or_insert_with(new).subjects.insert(subject.clone())
    }

    /// How many there are of each kind.
    pub fn counts(&self) -> Vec<WarningCount> {
        let count = |((stage, kind), Group { message, subjects }): (&(String, String), &Group)| WarningCount {
            stage: stage.clone(),
            kind: kind.clone(),
            count: subjects.len(),
            examples: subjects.iter().take(EXAMPLES).cloned().collect(),
            message: message.clone(),
        };
        self.0.iter().map(count).collect()
    }

    /// Says of which kinds there were several, once the run has ended.
    pub fn tell(&self) {
        for WarningCount { stage, kind, count, examples, .. } in self.counts().iter().filter(|warning| warning.count > 1) {
            tracing::warn!("{stage}: {count} warnings of the kind {kind}, such as {}", examples.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_and_a_run_that_resumes_counts_on() {
        let dir = tempfile::tempdir().unwrap();
        let warning = |kind: &str, subject: &str| WarningEvent {
            stage: "decode".into(),
            kind: kind.into(),
            subject: subject.into(),
            message: format!("{subject} is {kind}"),
        };
        let mut warned = Warned::default();
        let mut lines = String::new();
        for (kind, subject, new) in [("dark", "b", true), ("dark", "a", true), ("dark", "b", false), ("red", "b", true)] {
            let warning = warning(kind, subject);
            assert_eq!(warned.see(&warning), new);
            lines += &(serde_json::to_string(&Line { seconds: 0.5, event: warning.into() }).unwrap() + "\n");
        }
        let counts = warned.counts();
        assert_eq!(counts.iter().map(|of| (of.kind.as_str(), of.count)).collect::<Vec<_>>(), [("dark", 2), ("red", 1)]);
        assert_eq!((&counts[0].examples[..], counts[0].message.as_str()), (&["a".to_owned(), "b".to_owned()][..], "b is dark"));
        let folder = Folder::create(Some(&dir.path().join("run")), "run").unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), lines.clone() + "\"warning\" and what isn't a line\n").unwrap();
        assert_eq!(Warned::before(&folder, 1 << 20).unwrap().counts(), counts);
        let half = lines.find('\n').unwrap() as u64 + 1;
        assert_eq!(Warned::before(&folder, half).unwrap().counts()[0].count, 1);
    }
}
