//! The transposed convolution: the input gradient of a convolution with stride 2, and the reverse.

use burn::tensor::Tensor;
use pipeline_kernels::Area;

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::kernels;
use crate::backend::counting::Costs as _;
use crate::layer::{TransposedBackend, TransposedCall, TransposedConvolution};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

impl Graphics<'_> {
    /// A transposed convolution's weights, in float32.
    fn windows(&self, layer: &TransposedConvolution) -> Tensor<4> {
        self.weight(layer.weight, [layer.inputs, layer.outputs, 2, 2])
    }
}

impl TransposedBackend for Graphics<'_> {
    fn upsample(&mut self, layer: &TransposedConvolution, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let bias = layer.bias.map(|bias| self.weight(bias, [layer.outputs]));
        Ok(kernels::upsample(&self.chip()?, self.read(&input), self.windows(layer), bias)?)
    }

    fn upsample_weight(
        &mut self,
        layer: &TransposedConvolution,
        input: Input<'_, Self>,
        upstream: &Map<Tensor<4>>,
    ) -> Tried<()> {
        let upstream = upstream.data.clone();
        if let Some(bias) = layer.bias {
            self.gather(bias, kernels::bias(upstream.clone())?)?;
        }
        let sum = self.sum(layer.weight)?;
        Ok(kernels::upsample_weight(&self.chip()?, self.read(&input), upstream, sum)?)
    }

    fn upsample_input(&mut self, layer: &TransposedConvolution, upstream: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        Ok(kernels::upsample_input(&self.chip()?, upstream.data.clone(), self.windows(layer))?)
    }

    fn upsample_scratch(&self, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        GraphicsCosts.transposed(self.precision, call, layer, area)
    }
}
