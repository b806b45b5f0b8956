//! Samples that were skipped: reported at the end of a run and listed in `quarantine.txt`, which a later run can exclude.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::sync::Arc;

use pipeline_contract::events::{Event, Line, SampleSkippedEvent};

use super::Folder;
use crate::engine::{SkipLedger, Skipped};

/// More are counted; `summary.json` has all.
const MOST_TOLD: usize = 10;

/// Tells which samples were left out, once the run has ended.
pub(super) fn tell(skipped: &[Skipped]) {
    if skipped.is_empty() {
        return;
    }
    let mut text = match skipped.len() {
        1 => "1 sample was skipped:".to_owned(),
        count => format!("{count} samples were skipped:"),
    };
    for Skipped { sample, stage, error, .. } in skipped.iter().take(MOST_TOLD) {
        text += &format!("\n  {sample}: {stage}: {error}");
    }
    if let Some(more) = skipped.len().checked_sub(MOST_TOLD).filter(|&more| more > 0) {
        text += &format!("\n  and {more} more: summary.json has all");
    }
    tracing::warn!("{text}");
}

/// What the run had skipped before the checkpoint that it resumes from: the lines of the first `bytes` of its figures.
///
/// # Errors
/// When they can't be read.
pub(super) fn before(folder: &Folder, bytes: u64) -> io::Result<Vec<Skipped>> {
    let file = match File::open(folder.path().join("metrics.jsonl")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let lines = BufReader::new(file.take(bytes)).lines();
    // Only these lines are worth parsing: there is one for every step.
    let wanted = |line: &io::Result<String>| line.as_ref().map_or(true, |line| line.contains("sample_skipped"));
    let skipped = |line: io::Result<String>| line.map(|line| left_out(&line)).transpose();
    lines.filter(wanted).filter_map(skipped).collect()
}

/// The sample that a line of the figures says was left out.
fn left_out(line: &str) -> Option<Skipped> {
    match serde_json::from_str(line).ok()? {
        Line { event: Event::SampleSkipped(SampleSkippedEvent { sample, stage, source, error, epoch }), .. } => {
            Some(Skipped { sample, stage, source, error, epoch })
        }
        _ => None,
    }
}

/// The file of the samples that were left out.
#[derive(Debug)]
pub(super) struct Quarantine {
    pub folder: Folder,
    /// The run's name.
    pub run: String,
    pub skipped: Arc<SkipLedger>,
}

impl Quarantine {
    /// Puts the file in place: a sample a line, then a tab, the stage and why. It is replaced whole.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self) -> io::Result<()> {
        let mut text = format!(
            "# Broken samples of {}. A source leaves them out with `exclude: {}`.\n# SAMPLE <tab> STAGE: WHY\n",
            self.run,
            self.folder.path().join("quarantine.txt").display()
        );
        for Skipped { sample, stage, error, .. } in self.skipped.all() {
            text += &format!("{}\t{stage}: {}\n", one_line(&sample), one_line(&error));
        }
        self.folder.write("quarantine.txt", text.as_bytes())
    }
}

/// A text without what divides the file: names of files may hold anything. Sources read it back.
fn one_line(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    if text.starts_with('#') { format!("\\{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(one_line("train/17_A"), "train/17_A");
        assert_eq!(one_line("#a\tb\nc\\d"), "\\#a\\tb\\nc\\\\d");
    }
}
