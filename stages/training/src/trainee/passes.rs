//! Runs the passes of a network in training on its device's backend.

use std::ops::Range;

use pipeline_contract::Result;
use pipeline_contract::memory::{self, Side};
use pipeline_kernels::Area;

use super::Trainee;
use crate::backend::{self, Site, Work};
use crate::layer::LayerBackend;
use crate::loss::{Loss, LossBackend, Target};
use crate::memory::Tried;
use crate::micro_batch::MicroBatch;
use crate::network::{BlockNorm, Checkpointing, Network};
use crate::pass::{Executor, Images, Pass};

/// A training pass: gradients are added to the window's sums.
struct Train<'a> {
    network: &'a Network,
    images: Images<'a>,
    area: Area,
    target: Target<'a>,
    loss: &'a Loss,
    scale: f32,
    mode: Checkpointing,
}

impl Work for Train<'_> {
    type Output = ();

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<()> {
        let images = e.images(self.images, self.area)?;
        self.network.train(e, images, self.target, (self.loss, self.scale), self.mode)
    }
}

/// A forward pass: logits `[batch, classes, height, width]` in host memory; empty in a dry run.
struct Predict<'a> {
    network: &'a Network,
    images: Images<'a>,
    area: Area,
    pass: Pass,
    is_read: bool,
}

impl Work for Predict<'_> {
    type Output = Vec<f32>;

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<Vec<f32>> {
        let images = e.images(self.images, self.area)?;
        let logits = self.network.predict(e, images, self.pass)?;
        if self.is_read { e.backend.values(logits) } else { Ok(Vec::new()) }
    }
}

/// An extra forward pass that measures the norms of its activations.
struct Norms<'a> {
    network: &'a Network,
    images: Images<'a>,
    area: Area,
}

impl Work for Norms<'_> {
    type Output = Vec<BlockNorm>;

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<Vec<BlockNorm>> {
        let images = e.images(self.images, self.area)?;
        self.network.block_norms(e, images)
    }
}

impl Trainee {
    /// Processes one micro-batch of the journal, in parts of at most `setting.samples` samples.
    pub(super) fn work_off(&mut self, index: usize) -> Tried<()> {
        let journal = std::mem::take(&mut self.window.journal);
        let (count, most) = (journal[index].samples.len(), self.setting.samples.max(1));
        let mut parts = (0..count).step_by(most).map(|start| start..count.min(start + most));
        let result = parts.try_for_each(|part| self.train(&journal[index], part));
        self.window.journal = journal;
        result
    }

    fn train(&mut self, batch: &MicroBatch, range: Range<usize>) -> Tried<()> {
        batch.check_labels(range.clone(), self.network.classes)?;
        let (images, target, area) = batch.part(range)?;
        let Self { network, state, loss, scale, setting, ledger, window, .. } = self;
        let (scale, mode) = (scale.scale() as f32, setting.checkpointing);
        let work = Train { network, images, area, target, loss, scale, mode };
        let (precision, ledger) = (setting.precision, ledger.clone());
        let ((), losses) = backend::run(Site { state, gradients: &mut window.gradients, precision, ledger }, work)?;
        window.losses.extend(losses);
        Ok(())
    }

    /// Runs a pass that changes nothing: it works on a copy of the state that shares the tensors, and batch norm's updates
    /// are thrown away.
    fn aside<W: Work>(&self, work: W) -> Tried<W::Output> {
        let (state, precision) = (&mut self.state.clone(), self.setting.precision);
        let site = Site { state, gradients: &mut Vec::new(), precision, ledger: self.ledger.clone() };
        backend::run(site, work).map(|(output, _)| output)
    }

    fn forward(&self, images: Images<'_>, area: Area, pass: Pass) -> Tried<Vec<f32>> {
        self.aside(Predict { network: &self.network, images, area, pass, is_read: true })
    }

    /// Goes through an evaluation on a device in a dry run; the logits aren't read.
    pub(crate) fn rehearse_evaluation(&self, batch: &MicroBatch) -> Tried<()> {
        let most = batch.samples.len().min(self.setting.samples.max(1));
        let (images, _, area) = batch.part(0..most)?;
        let work = Predict { network: &self.network, images, area, pass: Pass::Evaluate, is_read: false };
        self.aside(work).map(drop)
    }

    /// Logits in evaluation mode, with at most `most` samples per pass.
    pub(super) fn predict_in_parts(&self, batch: &MicroBatch, most: usize) -> Tried<Vec<f32>> {
        let count = batch.samples.len();
        let mut logits = {
            let _host = memory::enter(Side::Host);
            Vec::with_capacity(batch.masks.len() * self.network.classes)
        };
        for start in (0..count).step_by(most) {
            let (images, _, area) = batch.part(start..count.min(start + most))?;
            logits.extend(self.forward(images, area, Pass::Evaluate)?);
        }
        Ok(logits)
    }

    /// Logits of a micro-batch in training mode, `[batch, classes, height, width]`: batch norm uses the batch's statistics
    /// but doesn't update its running ones.
    ///
    /// # Errors
    /// When the images don't fit the network, or the device fails.
    pub fn logits(&self, batch: &MicroBatch) -> Result<Vec<f32>> {
        let (images, _, area) = batch.part(0..batch.samples.len())?;
        Ok(self.forward(images, area, Pass::Train)?)
    }

    /// The norms of the activations for some images, block by block.
    pub(super) fn norms(&self, images: Images<'_>, area: Area) -> Tried<Vec<BlockNorm>> {
        self.aside(Norms { network: &self.network, images, area })
    }
}
