//! The losses on a graphics device.

use burn::tensor::Tensor;
use pipeline_kernels::Area;

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::tensors::replace;
use super::{bytes, kernels};
use crate::backend::counting::Costs as _;
use crate::loss::{Loss, LossBackend, Part};
use crate::memory::Tried;
use crate::pass::{Map, Scratch};

impl LossBackend for Graphics<'_> {
    fn loss(&mut self, loss: &Loss, logits: &mut Map<Tensor<4>>, labels: &[u8], scale: f32, part: Part) -> Tried<()> {
        let Area { batch, height, width } = logits.area;
        let masks = bytes::masks(labels, &self.device()).reshape([batch, height * width]);
        let mut losses = None;
        replace(&mut logits.data, |logits| {
            let z = logits.reshape([batch, height * width]);
            let (samples, gradient) = kernels::loss(loss, z, masks, scale * part.weight)?;
            losses = Some(if part.weight == 1.0 { samples } else { samples * part.weight });
            Ok(gradient.reshape([batch, 1, height, width]))
        })?;
        match (losses, self.losses.last_mut()) {
            (Some(losses), Some(last)) if !part.first => last.inplace(|last| last + losses),
            (losses, _) => self.losses.extend(losses),
        }
        Ok(())
    }

    fn loss_scratch(&self, loss: &Loss, classes: usize, area: Area) -> Scratch {
        GraphicsCosts.loss(loss, classes, area)
    }
}
