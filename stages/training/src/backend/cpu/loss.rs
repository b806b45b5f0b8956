//! The losses by our kernels.

use pipeline_kernels as kernels;
use pipeline_kernels::Area;

use super::core::Cpu;
use super::costs::CpuCosts;
use super::values::{Store as _, Values};
use crate::backend::counting::Costs as _;
use crate::loss::{Loss, LossBackend, Part, Target};
use crate::memory::Tried;
use crate::pass::{Map, Scratch};

impl LossBackend for Cpu<'_> {
    fn loss(&mut self, loss: &Loss, logits: &mut Map<Values>, target: Target<'_>, scale: f32, part: Part) -> Tried<()> {
        let batch = logits.area.batch;
        let mut losses = vec![0.0; batch];
        kernels::loss(loss.kernel(), f32::of_mut(&mut logits.data), target.masks, batch, scale * part.weight, &mut losses);
        losses.iter_mut().for_each(|loss| *loss *= part.weight);
        if part.first {
            self.losses.extend(losses);
        } else {
            let start = self.losses.len() - batch;
            self.losses[start..].iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        }
        Ok(())
    }

    fn loss_scratch(&self, loss: &Loss, area: Area) -> Scratch {
        CpuCosts.loss(loss, area)
    }
}
