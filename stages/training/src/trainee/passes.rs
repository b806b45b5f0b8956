//! The passes of a network in training over its device's arithmetic: which engine, and what a device's failure means.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Tensor;
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Result, panic_words};
use pipeline_kernels::Area;

use super::Trainee;
use crate::compute::{Engine, Executor, Images, Kernels, Pass, Tensors};
use crate::device;
use crate::memory::{Fault, Ledger, Tried};
use crate::micro_batch::MicroBatch;
use crate::network::{Checkpointing, upload};

impl Trainee {
    /// Works off one micro-batch of the journal, in parts of as many samples as the setting allows.
    pub(super) fn work_off(&mut self, index: usize) -> Tried<()> {
        let journal = std::mem::take(&mut self.window.journal);
        let (count, most) = (journal[index].samples.len(), self.setting.samples.max(1));
        let mut parts = (0..count).step_by(most).map(|start| start..count.min(start + most));
        let result = parts.try_for_each(|part| self.train(&journal[index], part));
        self.window.journal = journal;
        result
    }

    fn train(&mut self, batch: &MicroBatch, range: Range<usize>) -> Tried<()> {
        let (images, masks, area) = batch.part(range)?;
        let blocks = self.network.blocks().clone();
        let (precision, mode) = (self.setting.precision, self.setting.checkpointing);
        let (how, ledger) = ((self.loss, self.scale.scale() as f32), self.ledger.clone());
        let (state, gradients) = (&mut self.state, self.window.gradients.as_mut_slice());
        let device = state.device().clone();
        let losses = match state.engine() {
            Engine::Kernels => {
                let arithmetic = Kernels { state, gradients, losses: Vec::new(), precision };
                let mut e = Executor::new(arithmetic, Engine::Kernels, precision, ledger);
                let images = e.images(images, area)?;
                blocks.train(&mut e, images, masks, how, mode)?;
                vec![upload(e.arithmetic.losses, &device)]
            }
            Engine::Tensors => guarded(&ledger.clone(), || {
                let arithmetic = Tensors { state, gradients, losses: Vec::new(), precision };
                let mut e = Executor::new(arithmetic, Engine::Tensors, precision, ledger);
                let images = e.images(images, area)?;
                blocks.train(&mut e, images, masks, how, mode)?;
                Ok(e.arithmetic.losses)
            })?,
        };
        self.window.losses.extend(losses);
        Ok(())
    }

    /// Logits of a part of a micro-batch, `[batch, 1, height, width]`, float32, in the host's memory. In evaluation batch
    /// norm uses its running statistics and nothing is kept; in training it is the training's forward pass.
    fn forward(&self, images: Images<'_>, area: Area, pass: Pass) -> Tried<Vec<f32>> {
        let (blocks, precision) = (self.network.blocks(), self.setting.precision);
        // The tensors are shared, not copied: evaluation changes none, and what training changes here is thrown away.
        let state = &mut self.state.clone();
        let ledger = self.ledger.clone();
        match state.engine() {
            Engine::Kernels => {
                let arithmetic = Kernels { state, gradients: &mut [], losses: Vec::new(), precision };
                let mut e = Executor::new(arithmetic, Engine::Kernels, precision, ledger);
                let images = e.images(images, area)?;
                let (logits, _) = blocks.forward(&mut e, images, pass, Checkpointing::Blocks)?;
                Ok(logits.data.into_floats())
            }
            Engine::Tensors => guarded(&ledger.clone(), || values(&ledger, self.tensors(images, area, pass)?)),
        }
    }

    /// The same by the portable arithmetic, still on the device.
    fn tensors(&self, images: Images<'_>, area: Area, pass: Pass) -> Tried<Tensor<4>> {
        let (precision, state) = (self.setting.precision, &mut self.state.clone());
        let arithmetic = Tensors { state, gradients: &mut [], losses: Vec::new(), precision };
        let mut e = Executor::new(arithmetic, Engine::Tensors, precision, self.ledger.clone());
        let images = e.images(images, area)?;
        let (logits, _) = self.network.blocks().forward(&mut e, images, pass, Checkpointing::Blocks)?;
        Ok(logits.data)
    }

    /// Goes through an evaluation on a device that computes nothing: the logits aren't read.
    pub(crate) fn rehearse_evaluation(&self, batch: &MicroBatch) -> Tried<()> {
        let most = batch.samples.len().min(self.setting.samples.max(1));
        let (images, _, area) = batch.part(0..most)?;
        self.tensors(images, area, Pass::Evaluate).map(drop)
    }

    /// Logits in evaluation, at most so many samples at a time.
    pub(super) fn predict_in_parts(&self, batch: &MicroBatch, most: usize) -> Tried<Vec<f32>> {
        let count = batch.samples.len();
        let mut logits = {
            let _host = memory::enter(Side::Host);
            Vec::with_capacity(batch.masks.len())
        };
        for start in (0..count).step_by(most) {
            let (images, _, area) = batch.part(start..count.min(start + most))?;
            logits.extend(self.forward(images, area, Pass::Evaluate)?);
        }
        Ok(logits)
    }

    /// Logits of a micro-batch in training: batch norm uses the batch's statistics, and forgets them.
    ///
    /// # Errors
    /// When the images don't fit the network, or the device fails.
    pub fn logits(&self, batch: &MicroBatch) -> Result<Vec<f32>> {
        let (images, _, area) = batch.part(0..batch.samples.len())?;
        Ok(self.forward(images, area, Pass::Train)?)
    }
}

/// The values of a tensor, in the host's memory. A device may report here that it had no memory for what the tensor was made
/// of: its work is done in its own time.
pub(crate) fn values<const D: usize>(ledger: &Ledger, tensor: Tensor<D>) -> Tried<Vec<f32>> {
    tensor.try_into_vec_as().map_err(|error| failure(ledger, &format!("{error:?}")))
}

/// Runs work on a device whose backend panics when it can't have memory.
pub(super) fn guarded<T>(ledger: &Ledger, work: impl FnOnce() -> Tried<T>) -> Tried<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(failure(ledger, panic_words(&*panic).unwrap_or("it didn't say why"))))
}

/// What a device's words mean: no memory, or anything else.
fn failure(ledger: &Ledger, message: &str) -> Fault {
    let lower = message.to_lowercase();
    let memory = ["out of memory", "outofmemory", "out_of_memory", "not enough memory", "allocat", "buffertoobig"];
    if memory.iter().any(|word| lower.contains(word)) {
        Fault::Memory(ledger.refusal(0, format!("the device ({message})")))
    } else {
        Fault::Failed(device::failed(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_memory_is_told_from_one_that_failed() {
        let ledger = Ledger::default();
        for words in ["CUDA_ERROR_OUT_OF_MEMORY", "Out of Memory", "can't allocate 4096 bytes", "BufferTooBig(17179869184)"] {
            let fault = guarded(&ledger, || -> Tried<()> { panic!("{words}") });
            assert!(matches!(fault, Err(Fault::Memory(short)) if short.refused_by.contains(words)), "{words}");
        }
        assert!(matches!(guarded(&ledger, || -> Tried<()> { panic!("device lost") }), Err(Fault::Failed(_))));
    }
}
