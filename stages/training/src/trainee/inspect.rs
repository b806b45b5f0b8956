//! Inspects a window that isn't finite. Its micro-batches are still held and the weights are unchanged, so the forward pass
//! is repeated and its activations are measured. Normal training pays nothing for this.

use std::sync::Arc;

use pipeline_contract::StageError;

use super::Trainee;
use super::not_finite::NotFinite;
use crate::memory::Tried;
use crate::network::BlockNorm;

impl Trainee {
    /// The error for the open window, which would have become step `step` and isn't finite. The findings are recorded by the
    /// next [`Self::tell`].
    pub(crate) fn not_finite(&mut self, step: u64, samples: &[Arc<str>], losses: Vec<f32>) -> StageError {
        let blocks = self.window_norms().map_err(|fault| StageError::from(fault).message().to_owned());
        let found = NotFinite { step, samples: samples.to_vec(), losses, blocks };
        let error = found.error();
        self.broken = Some(found);
        error
    }

    /// The norms over all micro-batches of the open window, computed in the same parts as in training.
    fn window_norms(&self) -> Tried<Vec<BlockNorm>> {
        let mut sums: Vec<BlockNorm> = Vec::new();
        for batch in &self.window.journal {
            let (count, most) = (batch.samples.len(), self.setting.samples.max(1));
            for start in (0..count).step_by(most) {
                let (images, _, area) = batch.part(start..count.min(start.saturating_add(most)))?;
                let norms = self.norms(images, area)?;
                if sums.is_empty() {
                    sums = norms;
                    continue;
                }
                for (sum, norm) in sums.iter_mut().zip(norms) {
                    sum.squares += norm.squares;
                    sum.count += norm.count;
                }
            }
        }
        Ok(sums)
    }
}
