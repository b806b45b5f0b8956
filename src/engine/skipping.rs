//! What to do with samples that a stage can't process: the file's `on_error`, and the ledger of those that were skipped.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pipeline_contract::StageError;
use serde::{Deserialize, Serialize};

use super::control::RunError;

/// What a file says of broken samples.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum OnError {
    /// The run ends with the first.
    #[default]
    Fail,
    /// They are left out and named.
    Skip(Cap),
    /// As `Skip`, and listed in a file that a later run can exclude.
    Quarantine(Cap),
}

impl OnError {
    /// How many may be left out; `None`: none.
    pub fn cap(self) -> Option<Cap> {
        match self {
            Self::Fail => None,
            Self::Skip(cap) | Self::Quarantine(cap) => Some(cap),
        }
    }
}

/// How many samples may be left out before the run ends. Both limits hold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cap {
    /// Samples of the whole run.
    pub at_most: u64,
    /// Share of the samples of each source, rounded up to a whole number of samples.
    pub share: f64,
}

impl Default for Cap {
    /// A few broken files are an accident; more have a cause, such as a wrong folder or a failing disk.
    fn default() -> Self {
        Self { at_most: 100, share: 0.05 }
    }
}

impl Cap {
    /// Samples of a source of `samples` that may be left out.
    fn of(self, samples: u64) -> u64 {
        // 7% of 100 is a little more than 7 in floating point.
        (self.share * samples as f64 - 1e-9).ceil().max(0.0) as u64
    }
}

/// A sample that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The sample's id.
    pub sample: String,
    /// The id of the stage that it failed in.
    pub stage: String,
    /// The source or sources above that stage, joined by `+`.
    pub source: String,
    /// Why.
    pub error: String,
    /// The epoch in which it failed first, from 1.
    pub epoch: u64,
}

/// The samples that were left out, each once per stage however often it comes.
#[derive(Debug, Default)]
pub struct SkipLedger {
    cap: Option<Cap>,
    /// The epoch, from 0, that this run didn't begin at its beginning.
    resumed_in: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Skipped>,
    /// (stage, sample)
    known: HashSet<(String, String)>,
    /// Samples of an epoch of sources that didn't say how many they have.
    counted: BTreeMap<String, u64>,
}

impl State {
    fn add(&mut self, skipped: Skipped) -> bool {
        let new = self.known.insert((skipped.stage.clone(), skipped.sample.clone()));
        if new {
            self.entries.push(skipped);
        }
        new
    }

    fn of(&self, source: &str) -> u64 {
        self.entries.iter().filter(|entry| entry.source == source).count() as u64
    }
}

impl SkipLedger {
    /// A ledger that allows this many to be skipped; `None`: none.
    pub fn new(cap: Option<Cap>) -> Self {
        Self { cap, ..Self::default() }
    }

    /// The same with what an earlier part of the run has left out: none of it is named or counted again. `epoch` (from 0) is the one
    /// that the earlier part had begun.
    #[must_use]
    pub fn resumed(mut self, before: Vec<Skipped>, epoch: u64) -> Self {
        self.resumed_in = Some(epoch);
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for skipped in before {
            state.add(skipped);
        }
        self
    }

    /// Whether samples may be left out at all.
    pub fn skips(&self) -> bool {
        self.cap.is_some()
    }

    /// All that were left out, in the order in which they were.
    pub fn all(&self) -> Vec<Skipped> {
        self.state().entries.clone()
    }

    /// Whether this run sees all samples of an epoch (from 0).
    pub(super) fn sees_whole(&self, epoch: u64) -> bool {
        self.resumed_in != Some(epoch)
    }

    /// A source of unknown length gave `samples` in an epoch.
    pub(super) fn count(&self, source: &str, samples: u64) {
        self.state().counted.entry(source.to_owned()).or_insert(samples);
    }

    /// How many samples these sources gave together in an epoch, once each has given all.
    pub(super) fn counted(&self, sources: &[String]) -> Option<u64> {
        let state = self.state();
        if sources.is_empty() {
            return None;
        }
        sources.iter().map(|source| state.counted.get(source).copied()).sum()
    }

    /// How many samples a source found broken itself.
    pub(super) fn listed(&self, sources: &[String]) -> u64 {
        self.state().entries.iter().filter(|entry| sources.contains(&entry.stage)).count() as u64
    }

    /// Leaves out a sample of a source that has `samples`, where that is known. The record if it is new.
    ///
    /// # Errors
    /// When it may not be left out: the run ends with this.
    pub(super) fn leave_out(
        &self,
        error: RunError,
        source: &str,
        samples: Option<u64>,
        epoch: u64,
    ) -> Result<Option<Skipped>, RunError> {
        let (Some(cap), Some(sample), false) = (self.cap, &error.sample, error.cause.is_stopped()) else { return Err(error) };
        let text = match error.panicked {
            true => format!("panicked: {} (a bug of the stage: please report it with the file and the sample)", error.cause),
            false => error.cause.to_string(),
        };
        let (sample, stage, source) = (sample.clone(), error.stage.clone(), source.to_owned());
        let skipped = Skipped { sample, stage, source, error: text, epoch: epoch + 1 };
        let mut state = self.state();
        if state.known.contains(&(skipped.stage.clone(), skipped.sample.clone())) {
            return Ok(None);
        }
        let (all, own) = (state.entries.len() as u64 + 1, state.of(&skipped.source) + 1);
        let limit = samples.map_or(u64::MAX, |samples| cap.of(samples));
        if all > cap.at_most {
            return Err(beyond(error, &format!("{all} samples would be skipped, but at_most is {}", cap.at_most)));
        }
        if own > limit {
            return Err(beyond(error, &too_many(own, &skipped.source, samples.unwrap_or(0), cap)));
        }
        state.add(skipped.clone());
        Ok(Some(skipped))
    }

    /// Checks what was skipped of a source against its share, once the number of its samples is known.
    ///
    /// # Errors
    /// `last`, when it was more.
    pub(super) fn hold_against(&self, samples: u64, source: &str, last: &RunError) -> Result<(), RunError> {
        let own = self.state().of(source);
        match self.cap {
            Some(cap) if own > cap.of(samples) => Err(beyond(last.clone(), &too_many(own, source, samples, cap))),
            _ => Ok(()),
        }
    }

    /// What is held is whole after every statement, so a panic elsewhere leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(own: u64, source: &str, samples: u64, cap: Cap) -> String {
    format!("{own} of the {samples} samples of {source} would be skipped, but share is {}", cap.share)
}

/// The error of the sample that was one too many.
fn beyond(error: RunError, what: &str) -> RunError {
    let help = "fix the skipped samples, or `exclude` them at the source; or raise at_most and share of on_error";
    RunError { cause: StageError::new(format!("{what}; this one because: {}", error.cause)).help(help), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sample: &str) -> RunError {
        RunError { stage: "decode".into(), sample: Some(sample.into()), cause: StageError::new("rubbish"), panicked: false }
    }

    fn ledger(at_most: u64, share: f64) -> SkipLedger {
        SkipLedger::new(Some(Cap { at_most, share }))
    }

    #[test]
    fn a_sample_is_recorded_once_a_stage() {
        let ledger = ledger(10, 1.0);
        let record = ledger.leave_out(error("a"), "files", Some(3), 4).unwrap().unwrap();
        assert_eq!((record.epoch, record.error.as_str(), record.source.as_str()), (5, "rubbish", "files"));
        assert_eq!(ledger.leave_out(error("a"), "files", Some(3), 5).unwrap(), None);
        let other = RunError { stage: "augment".into(), ..error("a") };
        assert!(ledger.leave_out(other, "files", Some(3), 5).unwrap().is_some());
        assert_eq!(ledger.all().len(), 2);
    }

    #[test]
    fn more_than_the_number_or_the_share_ends_the_run() {
        let by_number = ledger(1, 1.0);
        assert!(by_number.leave_out(error("a"), "files", None, 0).is_ok());
        let said = by_number.leave_out(error("b"), "files", None, 0).unwrap_err();
        assert!(said.to_string().contains("at_most is 1") && said.to_string().contains("rubbish"), "{said}");
        assert_eq!(by_number.all().len(), 1);
        // 5% of 21 is 1.05: two may go; of 20 it is one, of 3 still one.
        for (samples, allowed) in [(21, 2), (20, 1), (3, 1)] {
            let by_share = ledger(100, 0.05);
            for at in 0..allowed {
                assert!(by_share.leave_out(error(&at.to_string()), "files", Some(samples), 0).is_ok(), "{at} of {samples}");
            }
            let said = by_share.leave_out(error("last"), "files", Some(samples), 0).unwrap_err();
            assert!(said.cause.mend().unwrap().contains("exclude"), "{said}");
            // Another source has a separate share.
            assert!(by_share.leave_out(error("last"), "test", Some(samples), 0).is_ok());
        }
        assert_eq!(Cap { at_most: 0, share: 0.07 }.of(100), 7);
        assert_eq!(Cap { at_most: 0, share: 0.0 }.of(100), 0);
    }

    #[test]
    fn nothing_is_left_out_unless_the_file_says_so() {
        assert_eq!(SkipLedger::default().leave_out(error("a"), "files", None, 0), Err(error("a")));
        let stopped = RunError { cause: StageError::stopped(), ..error("a") };
        assert_eq!(ledger(9, 1.0).leave_out(stopped.clone(), "files", None, 0), Err(stopped));
    }

    #[test]
    fn what_an_earlier_part_left_out_counts_once() {
        let first = ledger(2, 1.0);
        first.leave_out(error("a"), "files", None, 0).unwrap();
        let second = ledger(2, 1.0).resumed(first.all(), 3);
        assert_eq!(second.leave_out(error("a"), "files", None, 3).unwrap(), None);
        assert!(second.leave_out(error("b"), "files", None, 3).unwrap().is_some());
        assert!(second.leave_out(error("c"), "files", None, 3).is_err());
        assert!(!second.sees_whole(3) && second.sees_whole(4));
    }
}
