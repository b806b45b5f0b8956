//! The lane of a source: emits epoch after epoch, ahead of its consumers by what the edges hold.

use std::time::Instant;

use pipeline_contract::{ErasedSource, Result as StageResult, StageError, is_due, whole_of};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Sender, broadcast};
use super::position::Start;
use super::samples::Samples;
use super::sieve::Sieve;
use super::state::RunState;

/// What a source's lane emits, and where to.
pub struct Emission<'a> {
    /// The source's id.
    pub stage: &'a str,
    pub start: Start,
    /// How many epochs the run has.
    pub epochs: u64,
    /// After how many epochs what it emits is used; in the others it emits nothing.
    pub every: u64,
    pub outputs: Vec<Sender>,
    pub meter: &'a Meter,
    pub samples: &'a Samples,
    pub state: &'a RunState,
}

impl Emission<'_> {
    /// Emits all epochs from `start` on. Ends early, without an `EpochEnd`, when the run is drained; and in an epoch that the run has
    /// been told not to reach.
    ///
    /// # Errors
    /// The source's first failure.
    pub fn run(&self, source: &mut dyn ErasedSource) -> Result<(), RunError> {
        let Self { stage, start, outputs, meter, .. } = self;
        let (control, activity) = (&self.state.control, &self.state.activity);
        self.leave_out_broken(source)?;
        if let Some(samples) = source.samples() {
            control.check(call(stage, None, || as_many(start, samples)))?;
            self.samples.announce(stage, samples);
        }
        for epoch in start.epoch..self.epochs {
            // The run may be told at any time that it ends before this epoch; then nothing of it is missed.
            let is_over = || epoch >= control.epochs();
            if is_over() {
                return Ok(());
            }
            if !is_due(epoch, self.every, self.epochs) {
                if broadcast(outputs, Message::EpochEnd(epoch)).is_err() {
                    if !is_over() {
                        control.cut_short();
                    }
                    return Ok(());
                }
                continue;
            }
            let started = Instant::now();
            let (mut count, before) = (0, if epoch == start.epoch { start.items() } else { 0 });
            // A source that waits for room doesn't work.
            let mut working = Some(activity.enter(stage, None));
            let result = call(stage, None, || {
                source.epoch(epoch, &mut |mut item| {
                    count += 1;
                    item.until = count;
                    if epoch == start.epoch && count == start.touched() {
                        same(start, count, &item.sample)?;
                    }
                    if count <= before {
                        return Ok(());
                    }
                    let waiting = Instant::now();
                    working = None;
                    if is_over() || control.is_draining() {
                        return Err(StageError::stopped());
                    }
                    let message = Message::Item(Held::new(item, &self.state.budget));
                    broadcast(outputs, message).map_err(|_| StageError::stopped())?;
                    meter.add(1, Instant::now());
                    meter.subtract(waiting);
                    working = Some(activity.enter(stage, None));
                    Ok(())
                })
            });
            drop(working);
            meter.add(0, started);
            match result {
                Err(error) if error.cause.is_stopped() => {
                    if !is_over() {
                        control.cut_short();
                    }
                    return Ok(());
                }
                other => control.check(other)?,
            }
            if source.samples().is_none() && self.samples.skipped.sees_whole(epoch) {
                self.samples.skipped.count(stage, count);
            }
            if control.is_draining() || broadcast(outputs, Message::EpochEnd(epoch)).is_err() {
                if !is_over() {
                    control.cut_short();
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Skips what the source itself found broken, before the rest is counted.
    fn leave_out_broken(&self, source: &mut dyn ErasedSource) -> Result<(), RunError> {
        let broken = source.broken();
        let (whole, count) = (source.samples(), broken.len() as u64);
        let mut sieve = Sieve::new(&self.state.control, self.samples, vec![self.stage.to_owned()], 0);
        for (sample, cause) in broken {
            let error = RunError { stage: self.stage.into(), sample: Some(sample.to_string()), cause, panicked: false };
            sieve.leave_out_of(error, whole.map(|whole| whole + count), 0)?;
        }
        // All of them may be left out as far as the cap goes, and yet there is nothing to run on.
        if whole == Some(0) { sieve.epoch_end(0) } else { Ok(()) }
    }
}

const CHANGED: &str = "the data set has changed: restore it, or start a new run";

/// An epoch must have as many samples as it had.
fn as_many(start: &Start, samples: u64) -> StageResult<()> {
    match start.samples.filter(|&then| then != samples) {
        Some(then) => {
            let message = format!("an epoch had {then} samples when the run was saved, and has {samples} now");
            Err(StageError::new(message).help(CHANGED))
        }
        None => Ok(()),
    }
}

/// The sample that comes at `count` must be the last one of which anything was processed.
fn same(start: &Start, count: u64, sample: &str) -> StageResult<()> {
    match start.sample.as_deref().map(|last| whole_of(last, start.levels)) {
        Some(last) if last != sample && !last.ends_with(&format!(", {sample}")) => Err(StageError::new(format!(
            "sample {count} of epoch {} was {last} when the run was saved, and is {sample} now",
            start.epoch + 1
        ))
        .help(CHANGED)),
        _ => Ok(()),
    }
}
