//! Handles refusals of memory by the device. In the middle of a window, the window's memory is freed, the next smaller
//! setting is taken, and all of the window's samples are processed again from the state before it. No sample is lost or seen
//! twice. In an evaluation, fewer test images are processed at a time. Elsewhere there is no smaller setting, so the request
//! is repeated once.

use pipeline_contract::{Events, Result, StageError};

use super::Trainee;
use super::retried::{Retry, in_words};
use crate::device::{self, Platform};
use crate::forecast::{self, Demand};
use crate::memory::{Cause, Charge, Fault, OutOfMemory};
use crate::micro_batch::MicroBatch;
use crate::policy::Setting;

impl Trainee {
    /// Adds a micro-batch to the open window; if memory is refused, moves to smaller settings until all of the window's
    /// micro-batches are done. Smaller settings stay for the rest of the run.
    ///
    /// # Errors
    /// When memory is refused at the smallest setting (the help says how much that needs), or the device fails otherwise.
    pub fn add_or_retry(&mut self, batch: MicroBatch) -> Result<()> {
        match self.add(batch) {
            Ok(()) => Ok(()),
            Err(Fault::Failed(error)) => Err(error),
            Err(Fault::Memory(short)) => self.retry(short),
        }
    }

    /// Repeats the open window with smaller and smaller settings until nothing is refused.
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

    /// Logits of a micro-batch, `[batch, classes, height, width]`, in evaluation: with the weights' moving average if one is
    /// kept, and batch norm's running statistics. Passes hold as many samples as the setting allows; if memory is refused, fewer for the rest of the run.
    ///
    /// # Errors
    /// When the images don't fit the network, memory is refused for a single image, or the device fails otherwise.
    pub fn predict(&mut self, batch: &MicroBatch) -> Result<Vec<f32>> {
        let count = batch.samples.len();
        self.network.accepts(count, batch.height, batch.width)?;
        let mut again = true;
        loop {
            let most = self.setting.samples.min(self.most_evaluated).clamp(1, count.max(1));
            match self.with_average(|trainee| trainee.predict_in_parts(batch, most)) {
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

    /// Charges memory that no smaller setting would reduce. If the charge is refused, the unused memory of the device's
    /// allocator is given back and the charge is tried once more.
    ///
    /// # Errors
    /// When the charge is refused again.
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

    /// The number of retries since the last [`Self::tell`].
    pub fn retries(&self) -> usize {
        self.retries.len()
    }

    /// Records each retry since the last call as a `retry` event, and a window that wasn't finite as `not_finite`. `epoch`
    /// counts from 0.
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
            average: self.average.is_some(),
            evaluation: None,
            loss: &self.loss,
            platform: Platform::of(self.state.device()),
        };
        // The allocator's reserved pages may have sizes that are no longer requested.
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
