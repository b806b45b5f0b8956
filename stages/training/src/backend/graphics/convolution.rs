//! The convolution: burn's direct kernels for the map and the gradient of the input, products of matrices for the weights'.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;
use pipeline_contract::StageError;
use pipeline_kernels::Area;

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::tensors::same;
use super::{half, kernels};
use crate::backend::counting::Costs as _;
use crate::layer::{Convolution, ConvolutionBackend, ConvolutionCall};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

impl Graphics<'_> {
    /// A 3 x 3 convolution with weights in float32.
    fn convolved(&self, input: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
        if self.only_stores_half() { half::convolve(input, weight) } else { conv2d(input, self.narrow(weight), None, same()) }
    }
}

impl ConvolutionBackend for Graphics<'_> {
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], _: Area) -> Tried<Tensor<4>> {
        let weight = self.weight(layer.weight, [layer.outputs, layer.inputs, 3, 3]);
        // What several inputs come to is added up: concatenated they would be the largest map of all, twice as large as any other.
        let (mut sum, mut before) = (None, 0);
        for input in inputs {
            let channels = input.map.channels;
            let weight = weight.clone().narrow(1, before, channels);
            before += channels;
            let made = self.convolved(self.activated(self.read(input))?, weight);
            sum = Some(match sum.take() {
                Some(sum) => sum + made,
                None => made,
            });
        }
        Ok(sum.ok_or_else(|| StageError::new("a convolution without inputs"))?)
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Tensor<4>>) -> Tried<()> {
        let inputs = inputs.iter().map(|input| self.read(input)).collect();
        self.gather(layer.weight, kernels::convolve_weight(inputs, upstream.data.clone())?)
    }

    fn convolve_input(&mut self, layer: &Convolution, upstream: &Map<Tensor<4>>, wanted: Range<usize>) -> Tried<Tensor<4>> {
        // A convolution with the kernel turned by 180 degrees and transposed.
        let weight = self.weight(layer.weight, [layer.outputs, layer.inputs, 3, 3]);
        let weight = weight.narrow(1, wanted.start, wanted.len()).swap_dims(0, 1).flip([2, 3]);
        Ok(self.convolved(upstream.data.clone(), weight))
    }

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch {
        GraphicsCosts.convolution(self.precision, call)
    }
}
