//! The layers. Each file is one layer's room: which tensors it has, which shape it makes, what it costs, what its backward pass
//! keeps, and what a backend must be able to do for it. How a backend does that stands in a file of the same name in
//! `backend/cpu`, `backend/graphics` and `backend/counting`.
//!
//! To add a layer: write its file here, list it in `layers!` below, and add its function to each backend.

mod convolution;
mod head;
mod norm;
mod pool;
mod transposed;

pub use convolution::Convolution;
pub(crate) use convolution::{ConvolutionBackend, ConvolutionCall};
pub use head::Head;
pub(crate) use head::HeadBackend;
pub use norm::{Norm, NormKind, Running};
pub(crate) use norm::{NormBackend, NormCall};
pub use pool::MaxPool;
pub(crate) use pool::MaxPoolBackend;
pub use transposed::TransposedConvolution;
pub(crate) use transposed::{TransposedBackend, TransposedCall};

use std::ops::Range;

use crate::memory::Tried;
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

    /// True where its result is so cheap that `gradient_checkpointing: full` makes it again each time it is read.
    fn is_cheap(&self) -> bool {
        false
    }
}

/// A layer on a backend.
pub(crate) trait Differentiable<B: Backend>: Rules {
    /// The layer's result.
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>]) -> Made<B>;

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
    /// The gradient of the layer's output.
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

/// A file with the layer's own contract, in the words of an error that only a bug can cause.
pub(crate) fn missing(what: &str) -> crate::memory::Fault {
    crate::memory::Fault::Failed(pipeline_contract::StageError::new(format!(
        "{what} is missing in a pass: a bug of this program"
    )))
}

macro_rules! layers {
    ($($layer:ident: $backend:ident),+ $(,)?) => {
        /// Any layer that makes a map.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Layer {
            $(
                #[doc = concat!("See [`", stringify!($layer), "`].")]
                $layer($layer),
            )+
        }

        impl Layer {
            /// What is known of it without running it.
            pub(crate) fn rules(&self) -> &dyn Rules {
                match self {
                    $(Self::$layer(layer) => layer,)+
                }
            }

            /// The layer on a backend.
            pub(crate) fn on<B: LayerBackend>(&self) -> &dyn Differentiable<B> {
                match self {
                    $(Self::$layer(layer) => layer,)+
                }
            }
        }

        $(
            impl From<$layer> for Layer {
                fn from(layer: $layer) -> Self {
                    Self::$layer(layer)
                }
            }
        )+

        /// A backend with all layers.
        pub(crate) trait LayerBackend: Backend + NormBackend $(+ $backend)+ {}

        impl<B: Backend + NormBackend $(+ $backend)+> LayerBackend for B {}
    };
}

layers! {
    Convolution: ConvolutionBackend,
    TransposedConvolution: TransposedBackend,
    MaxPool: MaxPoolBackend,
    Head: HeadBackend,
}
