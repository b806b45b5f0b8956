//! What every layer offers to a pass: its rules, known without running it, and its forward and backward arithmetic.

use std::ops::Range;

use pipeline_contract::StageError;

use crate::memory::{Fault, Tried};
use crate::pass::{Backend, Executor, Input, Made, Map, Shape};

/// What the backward pass of a layer reads besides the gradient of its output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keeps {
    /// Its inputs, for the gradients of its weights.
    pub inputs: bool,
    /// Its inputs, for their own gradient.
    pub inputs_for_gradient: bool,
    /// Its output.
    pub output: bool,
}

/// What is known of a layer without running it.
pub(crate) trait Rules {
    /// The shape that it makes of inputs of these shapes, which are concatenated along channels unless the layer says otherwise.
    fn output(&self, inputs: &[Shape]) -> Shape;

    /// What its backward pass reads.
    fn keeps(&self) -> Keeps;

    /// True where the result may take the memory of an input that nobody else reads.
    fn takes_over(&self) -> bool {
        false
    }

    /// True where its result is so cheap that `gradient_checkpointing: full` makes it again each time it is read.
    fn is_cheap(&self) -> bool {
        false
    }
}

/// A layer on a backend.
pub(crate) trait Differentiable<B: Backend>: Rules {
    /// The layer's result. `into`: one more input, whose memory the result takes ([`Rules::takes_over`]).
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], into: Option<Map<B::Data>>) -> Made<B>;

    /// From the gradient of the layer's result to that before its own activation. `output`: the result, where [`Keeps::output`]
    /// asks for it.
    fn output_gradient(&self, e: &mut Executor<B>, output: Option<&Map<B::Data>>, upstream: Map<B::Data>) -> Made<B> {
        let _ = (e, output);
        Ok(upstream)
    }

    /// Adds the gradients of the layer's weights to the window's sums.
    fn parameter_gradients(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], upstream: &Map<B::Data>) -> Tried<()>;

    /// The gradient of one input, added to what later readers of that input have given.
    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B>;
}

/// Which gradient of an input is wanted.
pub(crate) struct Wanted<'a, B: Backend> {
    /// The input's channels among those of all inputs.
    pub channels: Range<usize>,
    /// The input's shape.
    pub shape: Shape,
    /// The input, where [`Keeps::inputs_for_gradient`] asks for it.
    pub input: Option<Input<'a, B>>,
    /// The layer's output, where [`Keeps::output`] asks for it.
    pub output: Option<&'a Map<B::Data>>,
    /// The gradient of the layer's output, before its own activation.
    pub upstream: Upstream<'a, B>,
    /// The sum of the gradients that other readers of the input have given.
    pub sum: Option<Map<B::Data>>,
}

/// The gradient of a layer's output.
pub(crate) enum Upstream<'a, B: Backend> {
    /// Other inputs' gradients are still to be made of it.
    Shared(&'a Map<B::Data>),
    /// Nobody needs it after this.
    Last(Map<B::Data>),
}

impl<B: Backend> Upstream<'_, B> {
    pub fn map(&self) -> &Map<B::Data> {
        match self {
            Self::Shared(map) => map,
            Self::Last(map) => map,
        }
    }
}

/// The error of a pass that lacks what it must have.
pub(crate) fn missing(what: &str) -> Fault {
    Fault::Failed(StageError::new(format!("{what} is missing in a pass: a bug of this program")))
}
