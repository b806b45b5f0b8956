//! The losses, with our kernels.

use pipeline_kernels as kernels;
use pipeline_kernels::{Area, Targets};

use super::core::Cpu;
use super::costs::CpuCosts;
use super::values::{Store as _, Values, zeros};
use crate::backend::counting::Costs as _;
use crate::loss::{IGNORED, Loss, LossBackend, Part};
use crate::memory::Tried;
use crate::pass::{Map, Scratch};

impl LossBackend for Cpu<'_> {
    fn loss(&mut self, loss: &Loss, logits: &mut Map<Values>, labels: &[u8], scale: f32, part: Part) -> Tried<()> {
        let (area, classes) = (logits.area, logits.channels);
        let mut losses = vec![0.0; area.batch];
        let mut space = zeros(kernels::loss_workspace(&loss.terms, classes, area))?;
        let targets = Targets { labels, classes, ignore: (classes > 1).then_some(IGNORED) };
        let (logits, scale) = (f32::of_mut(&mut logits.data), scale * part.weight);
        kernels::loss(&loss.terms, logits, targets, area, scale, &mut losses, &mut space);
        losses.iter_mut().for_each(|loss| *loss *= part.weight);
        if part.first {
            self.losses.extend(losses);
        } else {
            let start = self.losses.len().saturating_sub(area.batch);
            self.losses[start..].iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        }
        Ok(())
    }

    fn loss_scratch(&self, loss: &Loss, classes: usize, area: Area) -> Scratch {
        CpuCosts.loss(loss, classes, area)
    }
}
