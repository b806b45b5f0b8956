//! Watches whether items move. If none do, it reports which stage has worked on what for how long and which queues are full, and
//! later ends the run with that report. A stage that never returns can't block the end either.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pipeline_contract::StageError;
use pipeline_contract::events::StallEvent;

use super::control::RunError;
use super::options::RunOptions;
use super::patience::Patience;
use super::state::RunState;

/// What the watch has seen so far.
pub struct Watch<'a> {
    state: &'a RunState,
    options: &'a RunOptions,
    patience: Patience,
    moves: u64,
    looked: Instant,
    /// How long nothing has moved.
    quiet: Duration,
    told: bool,
    /// How long the run has been over.
    over: Duration,
    /// How long a device has been lost, without which no stage can continue.
    lost: Duration,
}

impl<'a> Watch<'a> {
    /// A watch that begins now.
    pub fn new(state: &'a RunState, options: &'a RunOptions) -> Self {
        let patience = options.patience;
        let (quiet, over, lost) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        Self { state, options, patience, moves: 0, looked: Instant::now(), quiet, told: false, over, lost }
    }

    /// How often it must look.
    pub fn rhythm(&self) -> Duration {
        (self.patience.warn / 10).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// Checks whether anything has moved. False when the run stops waiting for the stages that still work.
    pub fn look(&mut self) -> bool {
        // If the whole process was stopped for a while, or the machine slept, no stage is at fault.
        let passed = std::mem::replace(&mut self.looked, Instant::now()).elapsed().min(2 * self.rhythm());
        if self.state.control.is_cancelled() {
            self.over += passed;
            return self.over < self.patience.leave || self.leave();
        }
        if let Some(loss) = (self.options.lost)() {
            self.lost += passed;
            // A stage that notices it can say what it was doing.
            if self.lost >= self.patience.leave / 5 {
                self.fail(loss.clone());
            }
            return true;
        }
        let moves = self.state.budget.moves();
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
            let event = StallEvent { quiet_seconds: quiet.as_secs_f64(), report };
            self.options.events.record(event.into());
        }
        true
    }

    fn end(&self, quiet: Duration) {
        let message = format!("nothing has moved for {}: {}", time(quiet), self.report());
        let help = "check what that stage waits for: a disk, a network, a driver; trainer.stall sets the limit";
        self.fail(StageError::new(message).help(help));
    }

    /// Ends the run with what keeps the stage that has worked longest.
    fn fail(&self, cause: StageError) {
        let working = self.state.activity.working();
        let longest = working.first();
        let stage = longest.map_or_else(|| "the engine".to_owned(), |work| work.stage.to_string());
        self.state.control.fail(RunError {
            stage,
            sample: longest.and_then(|work| work.sample.clone()),
            cause,
            panicked: false,
        });
    }

    fn leave(&self) -> bool {
        tracing::warn!("these stages don't return and are left behind: {}", self.report());
        false
    }

    /// Who works, and what is full.
    fn report(&self) -> String {
        let mut text = String::new();
        for work in self.state.activity.working() {
            let sample = work.sample.map(|sample| format!(" on sample {sample}")).unwrap_or_default();
            // Writing to a string doesn't fail.
            let _ = write!(text, "stage `{}` has worked{sample} for {}; ", work.stage, time(work.since.elapsed()));
        }
        let full = self.state.budget.full();
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
    fn times_are_short() {
        let said = [0.25, 7.9, 299.0, 3600.0].map(|seconds| time(Duration::from_secs_f64(seconds)));
        assert_eq!(said, ["0.2 s", "7 s", "299 s", "60 min"]);
    }
}
