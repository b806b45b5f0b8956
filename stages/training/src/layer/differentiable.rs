//! What every layer offers to a pass: the rules known without running it, and its forward and backward computations.

use std::ops::Range;

use pipeline_contract::StageError;

use crate::memory::{Fault, Tried};
use crate::pass::{Backend, Executor, Input, Made, Map, Shape};

/// What a layer's backward pass reads besides the gradient of its output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keeps {
    /// Its inputs, to compute the gradients of its weights.
    pub inputs: bool,
    /// Its inputs, to compute their own gradients.
    pub inputs_for_gradient: bool,
    /// Its output.
    pub output: bool,
}

/// What is known about a layer without running it.
pub(crate) trait Rules {
    /// The output shape for inputs of these shapes, which are concatenated along channels unless the layer says otherwise.
    fn output(&self, inputs: &[Shape]) -> Shape;

    /// What its backward pass reads.
    fn keeps(&self) -> Keeps;

    /// True if the result may take over the memory of an input that nothing else reads.
    fn takes_over(&self) -> bool {
        false
    }

    /// True if the result is so cheap that `gradient_checkpointing: full` recomputes it each time it is read.
    fn is_cheap(&self) -> bool {
        false
    }
}

/// A layer on a backend.
pub(crate) trait Differentiable<B: Backend>: Rules {
    /// The layer's result. `into` is one more input, whose memory the result takes over ([`Rules::takes_over`]).
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], into: Option<Map<B::Data>>) -> Made<B>;

    /// From the gradient of the layer's result to the gradient before the layer's own activation. `output` is the result, if
    /// [`Keeps::output`] asks for it.
    fn output_gradient(&self, e: &mut Executor<B>, output: Option<&Map<B::Data>>, upstream: Map<B::Data>) -> Made<B> {
        let _ = (e, output);
        Ok(upstream)
    }

    /// Adds the gradients of the layer's weights to the window's sums.
    fn parameter_gradients(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], upstream: &Map<B::Data>) -> Tried<()>;

    /// The gradient of one input, added to the gradients that later readers of that input have contributed.
    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B>;
}

/// Which input gradient is wanted, and what it is computed from.
pub(crate) struct Wanted<'a, B: Backend> {
    /// The input's channels among the channels of all inputs.
    pub channels: Range<usize>,
    /// The input's shape.
    pub shape: Shape,
    /// The input, if [`Keeps::inputs_for_gradient`] asks for it.
    pub input: Option<Input<'a, B>>,
    /// The layer's output, if [`Keeps::output`] asks for it.
    pub output: Option<&'a Map<B::Data>>,
    /// The gradient of the layer's output, before its own activation.
    pub upstream: Upstream<'a, B>,
    /// The sum of the gradients that other readers of the input have contributed.
    pub sum: Option<Map<B::Data>>,
}

/// The gradient of a layer's output.
pub(crate) enum Upstream<'a, B: Backend> {
    /// Gradients of other inputs still have to be computed from it.
    Shared(&'a Map<B::Data>),
    /// Nothing needs it after this.
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

/// The error of a pass that lacks something it needs.
pub(crate) fn missing(what: &str) -> Fault {
    Fault::Failed(StageError::new(format!("{what} is missing in a pass: a bug of this program")))
}
