//! The lane of a source: emits epoch after epoch, ahead of its consumers by what the edges hold.

use std::time::Instant;

use pipeline_contract::{ErasedSource, StageError};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Sender, broadcast};
use super::run::Shared;
use super::sieve::Sieve;

/// Emits all epochs. Ends early, without an `EpochEnd`, when the run is drained.
pub fn run(
    stage: &str,
    source: &mut dyn ErasedSource,
    outputs: &[Sender],
    meter: &Meter,
    shared: &Shared,
) -> Result<(), RunError> {
    leave_out_broken(stage, source, shared)?;
    if let Some(samples) = source.samples() {
        shared.samples.announce(stage, samples);
        shared.options.events.announce(stage, samples);
    }
    for epoch in 0..shared.options.epochs {
        let (started, mut emitted) = (Instant::now(), 0);
        let result = call(stage, None, || {
            source.epoch(epoch, &mut |item| {
                let waiting = Instant::now();
                if shared.control.is_draining() {
                    return Err(StageError::stopped());
                }
                let message = Message::Item(Held::new(item, &shared.budget));
                broadcast(outputs, message).map_err(|_| StageError::stopped())?;
                emitted += 1;
                meter.add(1, Instant::now());
                meter.subtract(waiting);
                Ok(())
            })
        });
        meter.add(0, started);
        match result {
            Err(error) if error.cause.is_stopped() => {
                shared.control.cut_short();
                return Ok(());
            }
            other => shared.tell(other)?,
        }
        if source.samples().is_none() && shared.options.skipped.sees_whole(epoch) {
            shared.options.skipped.count(stage, emitted);
        }
        if shared.control.is_draining() || broadcast(outputs, Message::EpochEnd(epoch)).is_err() {
            shared.control.cut_short();
            return Ok(());
        }
    }
    Ok(())
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
