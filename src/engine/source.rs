//! The lane of a source: emits epoch after epoch, ahead of its consumers by what the edges hold.

use std::time::Instant;

use pipeline_contract::{ErasedSource, StageError};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Sender, broadcast};
use super::run::Shared;

/// Emits all epochs. Ends early, without an `EpochEnd`, when the run is drained.
pub fn run(
    stage: &str,
    source: &mut dyn ErasedSource,
    outputs: &[Sender],
    meter: &Meter,
    shared: &Shared,
) -> Result<(), RunError> {
    if let Some(samples) = source.samples() {
        shared.samples.announce(stage, samples);
        shared.options.events.announce(stage, samples);
    }
    for epoch in 0..shared.options.epochs {
        let started = Instant::now();
        let result = call(stage, None, || {
            source.epoch(epoch, &mut |item| {
                let waiting = Instant::now();
                if shared.control.is_draining() {
                    return Err(StageError::stopped());
                }
                let message = Message::Item(Held::new(item, &shared.budget));
                broadcast(outputs, message).map_err(|_| StageError::stopped())?;
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
        if shared.control.is_draining() || broadcast(outputs, Message::EpochEnd(epoch)).is_err() {
            shared.control.cut_short();
            return Ok(());
        }
    }
    Ok(())
}
