//! One level of the U-Net: twice (3x3 convolution, norm, ReLU), forward and backward.
//! It is the block that gradient checkpointing will run again; what it keeps between the passes is `Kept`.

use burn::tensor::Tensor;

use super::convolution::Convolution;
use super::norm::{Moments, NormKind, NormRelu};
use super::{Gradients, Layout, Pass, State};

/// Twice (3x3 convolution, norm, ReLU).
#[derive(Debug, Clone)]
pub(crate) struct Level {
    name: String,
    halves: [(Convolution, NormRelu); 2],
}

/// What one half keeps for its backward pass. The output is also the next layer's input, so it costs nothing more.
#[derive(Debug, Clone)]
struct Half {
    input: Tensor<4>,
    convolved: Tensor<4>,
    moments: Moments,
    output: Tensor<4>,
}

/// What a level keeps for its backward pass.
#[derive(Debug, Clone)]
pub(crate) struct Kept([Half; 2]);

impl Level {
    pub(crate) fn new(layout: &mut Layout, name: String, inputs: usize, outputs: usize, norm: NormKind) -> Self {
        let mut half = |index: usize, inputs: usize| {
            let convolution = Convolution::new(layout, &format!("{name}.conv{index}"), inputs, outputs);
            (convolution, NormRelu::new(layout, &format!("{name}.norm{index}"), outputs, norm))
        };
        let halves = [half(1, inputs), half(2, outputs)];
        Self { name, halves }
    }

    /// The block's name, as in the names of its tensors: `down.0`, `decode.2`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The output alone.
    pub(crate) fn forward(&self, state: &mut State, x: Tensor<4>, pass: Pass) -> Tensor<4> {
        self.halves.iter().fold(x, |x, (convolution, norm)| {
            let convolved = convolution.forward(state, x);
            norm.forward(state, convolved, pass).0
        })
    }

    /// The output, and what the backward pass needs.
    pub(crate) fn forward_kept(&self, state: &mut State, x: Tensor<4>) -> (Tensor<4>, Kept) {
        let mut half = |(convolution, norm): &(Convolution, NormRelu), input: Tensor<4>| {
            let convolved = convolution.forward(state, input.clone());
            let (output, moments) = norm.forward(state, convolved.clone(), Pass::Train);
            Half { input, convolved, moments, output }
        };
        let first = half(&self.halves[0], x);
        let second = half(&self.halves[1], first.output.clone());
        (second.output.clone(), Kept([first, second]))
    }

    /// Sets the gradients of the level's tensors and gives the input's, `None` unless `input` asks for it.
    pub(crate) fn backward(
        &self,
        state: &State,
        kept: Kept,
        upstream: Tensor<4>,
        gradients: &mut Gradients,
        input: bool,
    ) -> Option<Tensor<4>> {
        let mut half = |(convolution, norm): &(Convolution, NormRelu), kept: Half, upstream: Tensor<4>, input: bool| {
            let Half { input: x, convolved, moments, output } = kept;
            let upstream = norm.backward(state, convolved, output, moments, upstream, gradients);
            convolution.backward(state, x, upstream, gradients, input)
        };
        let Kept([first, second]) = kept;
        let upstream = half(&self.halves[1], second, upstream, true)?;
        half(&self.halves[0], first, upstream, input)
    }
}
