//! Watches whether items move. A run in which none does is told of: which stage works on what since when, and which queues are full;
//! later it is ended with that. A stage that never returns can't hold up the end either.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use pipeline_contract::{Fields, StageError};
use serde_json::json;

use super::control::RunError;
use super::run::Shared;

/// How long nothing may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until it is told.
    pub warn: Duration,
    /// Until the run ends; `None`: never.
    pub end: Option<Duration>,
    /// How long stages have to return when the run has failed; then they are left behind.
    pub leave: Duration,
}

impl Default for Patience {
    /// Five minutes, an hour, ten seconds.
    fn default() -> Self {
        Self { warn: Duration::from_secs(300), end: Some(Duration::from_secs(3600)), leave: Duration::from_secs(10) }
    }
}

/// Who works on what. A stage that calls another is under it, so the last one of each thread is the one that works.
#[derive(Debug, Default)]
pub struct Desks(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    at_work: BTreeMap<u64, Work>,
}

#[derive(Debug, Clone)]
struct Work {
    thread: ThreadId,
    stage: Arc<str>,
    sample: Option<String>,
    since: Instant,
}

/// A stage is at work until this is dropped.
pub struct AtWork<'a>(&'a Desks, u64);

impl Desks {
    /// A stage begins to work, on a sample where one is in its hands.
    pub fn enter(&self, stage: &str, sample: Option<&str>) -> AtWork<'_> {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        let (thread, since) = (std::thread::current().id(), Instant::now());
        state.at_work.insert(number, Work { thread, stage: stage.into(), sample: sample.map(Into::into), since });
        AtWork(self, number)
    }

    /// The innermost stage of each thread, the one that has worked longest first.
    fn working(&self) -> Vec<Work> {
        let mut innermost: Vec<Work> = Vec::new();
        for work in self.state().at_work.values().rev() {
            if !innermost.iter().any(|other| other.thread == work.thread) {
                innermost.push(work.clone());
            }
        }
        innermost.sort_by_key(|work| work.since);
        innermost
    }

    /// Each entry is whole, so a panic elsewhere leaves them usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.state().at_work.remove(&self.1);
    }
}

/// What the watch has seen so far.
pub struct Watch<'a> {
    shared: &'a Shared,
    patience: Patience,
    moves: u64,
    looked: Instant,
    /// How long nothing has moved.
    quiet: Duration,
    told: bool,
    /// How long the run has been over.
    over: Duration,
    /// How long something has been lost without which no stage can go on.
    lost: Duration,
}

impl<'a> Watch<'a> {
    /// A watch that begins now.
    pub fn new(shared: &'a Shared) -> Self {
        let patience = shared.options.patience;
        let (quiet, over, lost) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Self { shared, patience, moves: 0, looked: Instant::now(), quiet, told: false, over, lost }
    }

    /// How often it must look.
    pub fn rhythm(&self) -> Duration {
        (self.patience.warn / 10).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// Looks whether anything has moved. False when whoever still works is not waited for any more.
    pub fn look(&mut self) -> bool {
        // Where the whole process was stopped for a while, or the machine slept, that is nobody's fault.
        let passed = std::mem::replace(&mut self.looked, Instant::now()).elapsed().min(2 * self.rhythm());
        if self.shared.control.is_cancelled() {
            self.over += passed;
            return self.over < self.patience.leave || self.leave();
        }
        if let Some(loss) = (self.shared.options.lost)() {
            self.lost += passed;
            // A stage that learns of it by itself knows better what it was doing.
            if self.lost >= self.patience.leave / 5 {
                self.fail(loss.clone());
            }
            return true;
        }
        let moves = self.shared.budget.moves();
        if moves != self.moves {
            (self.moves, self.quiet, self.told) = (moves, Duration::ZERO, false);
            return true;
        }
        self.quiet += passed;
        let quiet = self.quiet;
        if self.patience.end.is_some_and(|end| quiet >= end) {
            self.end(quiet);
        } else if quiet >= self.patience.warn && !self.told {
            self.told = true;
            let report = self.report();
            tracing::warn!("nothing has moved for {}: {report}", time(quiet));
            let fields = [("quiet_seconds", json!(quiet.as_secs_f64())), ("report", json!(report))];
            self.shared.options.events.record("stall", Fields::from_iter(fields.map(|(key, value)| (key.to_owned(), value))));
        }
        true
    }

    fn end(&self, quiet: Duration) {
        let message = format!("nothing has moved for {}: {}", time(quiet), self.report());
        let help = "look at what that stage waits for: a disk, a network, a driver; the limit is trainer.stall";
        self.fail(StageError::new(message).help(help));
    }

    /// Ends the run with what keeps the stage that has worked longest.
    fn fail(&self, cause: StageError) {
        let working = self.shared.desks.working();
        let longest = working.first();
        let stage = longest.map_or_else(|| "the engine".to_owned(), |work| work.stage.to_string());
        self.shared.control.fail(RunError {
            stage,
            sample: longest.and_then(|work| work.sample.clone()),
            cause,
            panicked: false,
        });
    }

    fn leave(&self) -> bool {
        tracing::warn!("these don't return and are left behind: {}", self.report());
        false
    }

    /// Who works, and what is full.
    fn report(&self) -> String {
        let mut text = String::new();
        for work in self.shared.desks.working() {
            let sample = work.sample.map(|sample| format!(" on sample {sample}")).unwrap_or_default();
            // Writing to a string doesn't fail.
            let _ = write!(text, "stage `{}` has worked{sample} for {}; ", work.stage, time(work.since.elapsed()));
        }
        let full = self.shared.budget.full();
        let full: Vec<String> = full.iter().map(|(edge, items)| format!("{edge} ({items} items)")).collect();
        match full.is_empty() {
            true => text + "no queue is full",
            false => text + "full: " + &full.join(", "),
        }
    }
}

fn time(duration: Duration) -> String {
    match duration.as_secs() {
        0..5 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 5..300 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_stage_of_a_thread_is_the_one_that_works() {
        let desks = Desks::default();
        let _outer = desks.enter("train", Some("a"));
        {
            let _inner = desks.enter("accum", None);
            assert_eq!(desks.working().iter().map(|work| &*work.stage).collect::<Vec<_>>(), ["accum"]);
        }
        let working = desks.working();
        assert_eq!((working.len(), &*working[0].stage, working[0].sample.as_deref()), (1, "train", Some("a")));
    }

    #[test]
    fn times_are_short() {
        let said = [0.25, 7.9, 299.0, 3600.0].map(|seconds| time(Duration::from_secs_f64(seconds)));
        assert_eq!(said, ["0.2 s", "7 s", "299 s", "60 min"]);
    }
}
