//! Turns logits into probabilities, with tensors.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, softmax};

use super::core::Graphics;
use super::tensors::wide;
use crate::layer::ProbabilitiesBackend;
use crate::memory::Tried;
use crate::pass::Map;

impl ProbabilitiesBackend for Graphics<'_> {
    fn probabilities(&mut self, logits: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        let z = logits.data.clone();
        Ok(self.narrow(if logits.channels == 1 { sigmoid(z) } else { softmax(z, 1) }))
    }

    fn probabilities_input(
        &mut self,
        probabilities: &Map<Tensor<4>>,
        upstream: &Map<Tensor<4>>,
        sum: &mut Map<Tensor<4>>,
    ) -> Tried<()> {
        let (p, g) = (wide(probabilities.data.clone()), wide(upstream.data.clone()));
        let gradient = match probabilities.channels {
            1 => (p.clone() - p.clone() * p) * g,
            _ => p.clone() * (g.clone() - (p * g).sum_dim(1)),
        };
        sum.data.inplace(|sum| sum + gradient);
        Ok(())
    }
}
