//! What happens when the device refuses memory. In the middle of a window: what the window held is freed, the next smaller
//! setting is taken, and all of its samples are worked off again from the state of before. No sample is lost or seen twice.
//! In an evaluation: fewer test images at a time. Elsewhere nothing is smaller, so it is asked for once more.

use pipeline_contract::{Events, Result, StageError};

use super::Trainee;
use super::retried::{Retry, in_words};
use crate::device::{self, Platform};
use crate::forecast::{self, Demand};
use crate::memory::{Cause, Charge, Fault, OutOfMemory};
use crate::micro_batch::MicroBatch;
use crate::policy::Setting;

impl Trainee {
    /// Adds a micro-batch to the open window; where memory is refused, falls to smaller settings until all of the window's
    /// micro-batches are done. Smaller settings stay for the rest of the run.
    ///
    /// # Errors
    /// When memory is refused at the smallest setting, with what that needs; and what a device reports otherwise.
    pub fn add_or_retry(&mut self, batch: MicroBatch) -> Result<()> {
        match self.add(batch) {
            Ok(()) => Ok(()),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Memory(short)) => self.retry(short),
        }
    }

    /// Makes the open window again with less and less, until nothing is refused.
    ///
    /// # Errors
    /// As [`Self::add_or_retry`].
    pub(crate) fn retry(&mut self, mut short: OutOfMemory) -> Result<()> {
        loop {
            let retry = self.smaller(short)?;
            let to = retry.to;
            self.note(retry);
            match self.redo(to) {
                Ok(()) => return Ok(()),
                Err(Fault::Failed(error)) => return Err(error),
                Err(Fault::Memory(again)) => short = again,
            }
        }
    }

    /// Logits of a micro-batch, `[batch, 1, height, width]`, in evaluation: batch norm uses its running statistics. As many
    /// samples at a time as the setting allows; where memory is refused, fewer for the rest of the run.
    ///
    /// # Errors
    /// When the images don't fit the network, memory is refused for a single image, or the device fails otherwise.
    pub fn predict(&mut self, batch: &MicroBatch) -> Result<Vec<f32>> {
        let count = batch.samples.len();
        self.network.accepts(count, batch.height, batch.width)?;
        let mut again = true;
        loop {
            let most = self.setting.samples.min(self.most_evaluated).clamp(1, count.max(1));
            match self.predict_in_parts(batch, most) {
                Ok(logits) => return Ok(logits),
                Err(Fault::Memory(short)) if again => {
                    device::give_back(self.state.device())?;
                    self.most_evaluated = (most / 2).max(1);
                    again = most > 1;
                    let part = |samples| Setting { samples, ..self.setting };
                    let (from, to) = (part(most), part(self.most_evaluated));
                    self.note(Retry { short, from, to, planned: None, samples: count });
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// Charges what no smaller setting lowers. Where it is refused, what the device's allocator holds without need is given
    /// back, and it is asked for once more.
    ///
    /// # Errors
    /// When it is refused again.
    pub(crate) fn reserve(&mut self, cause: Cause, bytes: u64) -> Result<Charge> {
        match self.ledger.charge(cause, bytes) {
            Err(Fault::Memory(short)) => {
                device::give_back(self.state.device())?;
                let samples = self.largest().map_or(0, |(samples, ..)| samples);
                self.note(Retry { short, from: self.setting, to: self.setting, planned: None, samples });
                Ok(self.ledger.charge(cause, bytes)?)
            }
            charge => Ok(charge?),
        }
    }

    fn note(&mut self, retry: Retry) {
        tracing::warn!("{}; going on with {}", retry.short, in_words(&retry.to, retry.samples));
        self.retries.push(retry);
    }

    /// How often something was tried again since the last [`Self::tell`].
    pub fn retries(&self) -> usize {
        self.retries.len()
    }

    /// Records what was tried again since the last call, a `retry` event each, and a window that wasn't finite as `not_finite`.
    /// Epochs count from 0.
    pub fn tell(&mut self, events: &dyn Events, epoch: u64) {
        for retry in self.retries.drain(..) {
            events.record(retry.event(epoch + 1).into());
        }
        if let Some(broken) = self.broken.take() {
            events.record(broken.event(epoch).into());
        }
    }

    fn smaller(&self, short: OutOfMemory) -> Result<Retry> {
        let Some(micro_batch) = self.largest() else { return Err(Fault::Memory(short).into()) };
        let demand = Demand {
            network: &self.network,
            micro_batch,
            setting: self.setting,
            optimizer: self.optimizer_values(),
            evaluation: None,
            loss: &self.loss,
            platform: Platform::of(self.state.device()),
        };
        // What an allocator holds in reserve may be of sizes that nobody asks for any more.
        device::give_back(self.state.device())?;
        match forecast::next(&demand, &short) {
            Some((to, forecast)) => {
                let planned = Some(forecast.peak.total);
                Ok(Retry { short, from: self.setting, to, planned, samples: micro_batch.0 })
            }
            None => {
                let (_, height, width) = micro_batch;
                let least = forecast::forecast(&demand)?.peak.total;
                let help = format!(
                    "this is the smallest setting ({}), which needs {least} bytes for images of {height} x {width}: smaller \
                     images, a network of less base or depth, or a larger budget",
                    in_words(&self.setting, micro_batch.0)
                );
                Err(StageError::new(short.to_string()).help(help))
            }
        }
    }
}
