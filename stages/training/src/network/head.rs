//! The 1x1 convolution with bias that turns features into logits: forward and backward.
//! One matrix product on every device.

use burn::tensor::Tensor;

use super::{Gradients, Init, Layout, State};

/// A 1x1 convolution with bias.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    weight: usize,
    bias: usize,
    inputs: usize,
    outputs: usize,
}

impl Head {
    pub(crate) fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform { fan_in: inputs };
        Self {
            weight: layout.trained(format!("{name}.weight"), &[outputs, inputs, 1, 1], init),
            bias: layout.trained(format!("{name}.bias"), &[outputs], init),
            inputs,
            outputs,
        }
    }

    fn matrix(&self, state: &State) -> Tensor<3> {
        state.view(self.weight, [1, self.outputs, self.inputs])
    }

    /// `[batch, inputs, height, width]` to `[batch, outputs, height, width]`.
    pub(crate) fn forward(&self, state: &State, x: Tensor<4>) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let y = self.matrix(state).matmul(x.reshape([batch, self.inputs, height * width]));
        y.reshape([batch, self.outputs, height, width]) + state.view(self.bias, [1, self.outputs, 1, 1])
    }

    /// Sets the gradients of weight and bias and gives the input's.
    pub(crate) fn backward(&self, state: &State, x: Tensor<4>, upstream: Tensor<4>, gradients: &mut Gradients) -> Tensor<4> {
        let [batch, _, height, width] = x.dims();
        let upstream = upstream.reshape([batch, self.outputs, height * width]);
        gradients.set(self.bias, upstream.clone().sum_dim(2).sum_dim(0));
        let pixels = x.reshape([batch, self.inputs, height * width]);
        gradients.set(self.weight, upstream.clone().matmul(pixels.transpose()).sum_dim(0));
        self.matrix(state).transpose().matmul(upstream).reshape([batch, self.inputs, height, width])
    }
}
