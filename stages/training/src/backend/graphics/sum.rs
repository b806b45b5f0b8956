//! Sums of maps, activations on maps, and means of logits, with tensors.

use burn::tensor::Tensor;
use pipeline_contract::StageError;
use pipeline_kernels::Activation;

use super::core::Graphics;
use super::tensors::activate;
use crate::layer::{ActivationBackend, MeanBackend, SumBackend};
use crate::memory::Tried;
use crate::pass::{Input, Map, Shape};

impl ActivationBackend for Graphics<'_> {
    fn activation_gradient(
        &mut self,
        activation: Activation,
        output: &Map<Tensor<4>>,
        upstream: &mut Map<Tensor<4>>,
    ) -> Tried<()> {
        let negative = output.data.clone().lower_equal_elem(0.0);
        upstream.data.inplace(|upstream| match activation {
            Activation::Identity => upstream,
            Activation::Relu => upstream.mask_fill(negative, 0.0),
            Activation::LeakyRelu(slope) => upstream.clone().mask_where(negative, upstream * slope),
        });
        Ok(())
    }
}

impl SumBackend for Graphics<'_> {
    fn sum(
        &mut self,
        inputs: &[Input<'_, Self>],
        activation: Activation,
        into: Option<Tensor<4>>,
        _: Shape,
    ) -> Tried<Tensor<4>> {
        let mut sum = into;
        for input in inputs {
            let read = self.activated(self.read(input))?;
            sum = Some(match sum {
                Some(sum) => sum + read,
                None => read,
            });
        }
        let sum = sum.ok_or_else(|| StageError::new("a sum without inputs"))?;
        Ok(activate(sum, activation))
    }

    /// Tensors share their memory until one of them is changed.
    fn copy(&mut self, map: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        Ok(map.data.clone())
    }
}

impl MeanBackend for Graphics<'_> {
    fn scaled_sum(&mut self, maps: &[&Map<Tensor<4>>], factor: f32) -> Tried<Tensor<4>> {
        let sum = maps.iter().map(|map| map.data.clone()).reduce(|sum, map| sum + map);
        Ok(sum.ok_or_else(|| StageError::new("a mean without inputs"))? * factor)
    }
}
