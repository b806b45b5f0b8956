//! The head: one kernel where the input is read through a norm, matrix products on a plain map.

use burn::tensor::Tensor;
use pipeline_kernels::Area;

use super::core::Graphics;
use super::kernels::{self, Read};
use super::tensors::{rows, wide};
use crate::layer::{Head, HeadBackend};
use crate::memory::Tried;
use crate::pass::{Input, Map};

impl HeadBackend for Graphics<'_> {
    fn head(&mut self, layer: &Head, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = input.map.area;
        let bias = self.state.trained[layer.bias].clone();
        let weight = self.weight(layer.weight, [layer.outputs, layer.inputs]);
        Ok(match self.read(&input) {
            Read::Normed(normed) => kernels::head(normed, weight, bias)?,
            Read::Plain(map) => {
                let made = wide(rows(map)).matmul(weight.transpose()) + bias.unsqueeze();
                made.reshape([batch, height, width, layer.outputs]).permute([0, 3, 1, 2])
            }
        })
    }

    fn head_weight(&mut self, layer: &Head, input: Input<'_, Self>, upstream: &Map<Tensor<4>>) -> Tried<()> {
        let upstream = upstream.data.clone();
        kernels::head_bias(upstream.clone(), self.sum(layer.bias)?)?;
        match self.read(&input) {
            Read::Normed(normed) => Ok(kernels::head_weight(normed, upstream, self.sum(layer.weight)?)?),
            // Uses the kernel that sums pixels in pieces: a product over a million pixels would lose digits.
            Read::Plain(map) => {
                let gradient = kernels::products(wide(map), rows(upstream))?;
                self.gather(layer.weight, gradient.transpose())
            }
        }
    }

    fn head_input(&mut self, layer: &Head, upstream: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        let weight = self.weight(layer.weight, [layer.outputs, layer.inputs]);
        Ok(kernels::head_input(weight, upstream.data.clone(), self.precision.dtype())?)
    }
}
