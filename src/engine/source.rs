//! The lane of a source: emits epoch after epoch, ahead of its consumers by what the edges hold.

use std::time::Instant;

use pipeline_contract::{ErasedSource, Result as StageResult, StageError};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Sender, broadcast};
use super::position::Start;
use super::run::Shared;
use super::sieve::Sieve;

/// Emits all epochs from `start` on. Ends early, without an `EpochEnd`, when the run is drained.
pub fn run(
    stage: &str,
    source: &mut dyn ErasedSource,
    start: &Start,
    outputs: &[Sender],
    meter: &Meter,
    shared: &Shared,
) -> Result<(), RunError> {
    leave_out_broken(stage, source, shared)?;
    if let Some(samples) = source.samples() {
        shared.tell(call(stage, None, || as_many(start, samples)))?;
        shared.samples.announce(stage, samples);
        shared.options.events.announce(stage, samples);
    }
    for epoch in start.epoch..shared.options.epochs {
        let started = Instant::now();
        let (mut count, before) = (0, if epoch == start.epoch { start.items } else { 0 });
        // A source that waits for room doesn't work.
        let mut at_work = Some(shared.desks.enter(stage, None));
        let result = call(stage, None, || {
            source.epoch(epoch, &mut |mut item| {
                count += 1;
                item.until = count;
                if count <= before {
                    return if count == before { same(start, &item.sample) } else { Ok(()) };
                }
                let waiting = Instant::now();
                at_work = None;
                if shared.control.is_draining() {
                    return Err(StageError::stopped());
                }
                let message = Message::Item(Held::new(item, &shared.budget));
                broadcast(outputs, message).map_err(|_| StageError::stopped())?;
                meter.add(1, Instant::now());
                meter.subtract(waiting);
                at_work = Some(shared.desks.enter(stage, None));
                Ok(())
            })
        });
        drop(at_work);
        meter.add(0, started);
        match result {
            Err(error) if error.cause.is_stopped() => {
                shared.control.cut_short();
                return Ok(());
            }
            other => shared.tell(other)?,
        }
        if source.samples().is_none() && shared.options.skipped.sees_whole(epoch) {
            shared.options.skipped.count(stage, count);
        }
        if shared.control.is_draining() || broadcast(outputs, Message::EpochEnd(epoch)).is_err() {
            shared.control.cut_short();
            return Ok(());
        }
    }
    Ok(())
}

const CHANGED: &str = "the data set has changed: put it back as it was, or begin a new run";

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

/// The last sample of what isn't emitted again must be the one that was worked off last.
fn same(start: &Start, sample: &str) -> StageResult<()> {
    match &start.sample {
        Some(last) if last != sample && !last.ends_with(&format!(", {sample}")) => Err(StageError::new(format!(
            "sample {} of epoch {} was {last} when the run was saved, and is {sample} now",
            start.items,
            start.epoch + 1
        ))
        .help(CHANGED)),
        _ => Ok(()),
    }
}

/// Leaves out what the source itself found broken, before anybody counts what is left.
fn leave_out_broken(stage: &str, source: &mut dyn ErasedSource, shared: &Shared) -> Result<(), RunError> {
    let broken = source.broken();
    let (whole, count) = (source.samples(), broken.len() as u64);
    let mut sieve = Sieve::new(shared, vec![stage.to_owned()]);
    for (sample, cause) in broken {
        let error = RunError { stage: stage.into(), sample: Some(sample.to_string()), cause, panicked: false };
        sieve.leave_out_of(error, whole.map(|whole| whole + count), 0)?;
    }
    // All of them may be left out as far as the cap goes, and yet there is nothing to run on.
    if whole == Some(0) { sieve.epoch_end(0) } else { Ok(()) }
}
