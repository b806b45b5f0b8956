//! The 2x2 transposed convolution of stride 2, with bias: forward and backward.
//! Its windows don't overlap, so it is one matrix product and a reordering of pixels on every device.

use burn::tensor::Tensor;

use super::{Gradients, Init, Layout, State};

/// A 2x2 transposed convolution of stride 2 with bias.
#[derive(Debug, Clone)]
pub(crate) struct Upsample {
    weight: usize,
    bias: usize,
    inputs: usize,
    outputs: usize,
}

impl Upsample {
    pub(crate) fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        // PyTorch counts the fan of a transposed convolution from its second dimension, the outputs.
        let init = Init::Uniform { fan_in: outputs * 4 };
        Self {
            weight: layout.trained(format!("{name}.weight"), &[inputs, outputs, 2, 2], init),
            bias: layout.trained(format!("{name}.bias"), &[outputs], init),
            inputs,
            outputs,
        }
    }

    /// `[1, inputs, outputs * 4]`.
    fn matrix(&self, state: &State) -> Tensor<3> {
        state.view(self.weight, [1, self.inputs, self.outputs * 4])
    }

    /// `[batch, inputs, height, width]` to `[batch, outputs, 2 height, 2 width]`.
    pub(crate) fn forward(&self, state: &State, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let pixels = x.reshape([batch, self.inputs, height * width]);
        let blocks = self.matrix(state).transpose().matmul(pixels);
        let blocks = blocks.reshape([batch * self.outputs, 2, 2, height, width]).permute([0, 3, 1, 4, 2]);
        let y = blocks.reshape([batch, self.outputs, 2 * height, 2 * width]);
        y + state.view(self.bias, [1, self.outputs, 1, 1])
    }

    /// Sets the gradients of weight and bias and gives the input's.
    pub(crate) fn backward(&self, state: &State, x: Tensor<4>, upstream: Tensor<4>, gradients: &mut Gradients) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let sums = upstream.clone().reshape([batch, self.outputs, 4 * height * width]).sum_dim(2).sum_dim(0);
        gradients.set(self.bias, sums);
        let blocks = upstream.reshape([batch * self.outputs, height, 2, width, 2]).permute([0, 2, 4, 1, 3]);
        let blocks = blocks.reshape([batch, self.outputs * 4, height * width]);
        let pixels = x.reshape([batch, self.inputs, height * width]);
        gradients.set(self.weight, pixels.matmul(blocks.clone().transpose()).sum_dim(0));
        self.matrix(state).matmul(blocks).reshape([batch, self.inputs, height, width])
    }
}
