//! The layers. Each file is one layer's room: which tensors it has, which shape it makes, what it costs, what its backward pass
//! keeps, and what a backend must be able to do for it. How a backend does that stands in a file of the same name in
//! `backend/cpu`, `backend/graphics` and `backend/counting`.
//!
//! To add a layer: write its file here, list it in `list.rs`, and add its function to each backend.

mod convolution;
mod differentiable;
mod head;
mod list;
mod norm;
mod pool;
mod transposed;

pub use convolution::Convolution;
pub(crate) use convolution::{ConvolutionBackend, ConvolutionCall};
pub use differentiable::Keeps;
pub(crate) use differentiable::{Upstream, Wanted, missing};
pub use head::Head;
pub(crate) use head::HeadBackend;
pub use list::Layer;
pub(crate) use list::LayerBackend;
pub use norm::{Norm, NormKind, Running};
pub(crate) use norm::{NormBackend, NormCall};
pub use pool::MaxPool;
pub(crate) use pool::MaxPoolBackend;
pub use transposed::TransposedConvolution;
pub(crate) use transposed::{TransposedBackend, TransposedCall};
