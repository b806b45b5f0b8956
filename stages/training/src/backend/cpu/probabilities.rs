//! Turns logits into probabilities, with our kernels.

use pipeline_kernels as kernels;

use super::core::Cpu;
use super::values::{Store as _, Values, with, zeros};
use crate::layer::ProbabilitiesBackend;
use crate::memory::Tried;
use crate::pass::Map;

impl ProbabilitiesBackend for Cpu<'_> {
    fn probabilities(&mut self, logits: &Map<Values>) -> Tried<Values> {
        let (area, classes) = (logits.area, logits.channels);
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(classes))?;
            kernels::probabilities(f32::of(&logits.data), classes, area, &mut out);
            E::wrap(out)
        }))
    }

    fn probabilities_input(&mut self, probabilities: &Map<Values>, upstream: &Map<Values>, sum: &mut Map<Values>) -> Tried<()> {
        let (area, classes) = (probabilities.area, probabilities.channels);
        with!(self.precision, E => {
            let (probabilities, upstream) = (E::of(&probabilities.data), E::of(&upstream.data));
            kernels::probabilities_gradient(probabilities, upstream, classes, area, f32::of_mut(&mut sum.data));
        });
        Ok(())
    }
}
