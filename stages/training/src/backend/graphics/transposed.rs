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

fn shape(layer: &TransposedConvolution) -> [usize; 4] {
    [layer.inputs, layer.outputs, 2, 2]
}

impl TransposedBackend for Graphics<'_> {
    fn upsample(&mut self, layer: &TransposedConvolution, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let bias = layer.bias.map(|bias| self.weight(bias, [layer.outputs]));
        let (input, weight) = (self.read(&input), self.kernel(layer.weight, shape(layer)));
        Ok(kernels::upsample(&self.chip()?, &mut self.packs, input, weight, bias)?)
    }

    fn upsample_weight(
        &mut self,
        layer: &TransposedConvolution,
        input: Input<'_, Self>,
        upstream: &Map<Tensor<4>>,
    ) -> Tried<()> {
        let upstream = upstream.data.clone();
        if let Some(bias) = layer.bias {
            kernels::bias(upstream.clone(), self.sum(bias)?)?;
        }
        let sum = self.sum(layer.weight)?;
        Ok(kernels::upsample_weight(&self.chip()?, self.read(&input), upstream, sum)?)
    }

    fn upsample_input(&mut self, layer: &TransposedConvolution, upstream: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        let weight = self.kernel(layer.weight, shape(layer));
        Ok(kernels::upsample_input(&self.chip()?, &mut self.packs, upstream.data.clone(), weight)?)
    }

    fn upsample_scratch(&self, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        GraphicsCosts.transposed(self.precision, call, layer, area)
    }
}
