//! The layers. Each file holds all of one layer: its tensors, its output shape, its cost, what its backward pass keeps, and what
//! a backend must implement for it. Each backend implements it in a file of the same name in `backend/cpu`, `backend/graphics`
//! and `backend/counting`.
//!
//! To add a layer: write its file here, list it in `list.rs`, implement it in each backend, and say in `onnx/layers.rs` what it becomes
//! in an ONNX file.

mod activation;
mod convolution;
mod differentiable;
mod head;
mod list;
mod mean;
mod nearest;
mod norm;
mod pool;
mod probabilities;
mod stored_logits;
mod sum;
mod transposed;

pub(crate) use activation::ActivationBackend;
pub use convolution::Convolution;
pub(crate) use convolution::{ConvolutionBackend, ConvolutionCall};
pub use differentiable::Keeps;
pub(crate) use differentiable::{Upstream, Wanted, missing};
pub use head::Head;
pub(crate) use head::HeadBackend;
pub use list::Layer;
pub(crate) use list::LayerBackend;
pub(crate) use mean::MeanBackend;
pub use mean::MeanLogits;
pub(crate) use nearest::NearestBackend;
pub use nearest::UpsampleNearest;
pub use norm::{Norm, NormKind, NormOptions, Running};
pub(crate) use norm::{NormBackend, NormCall};
pub use pool::MaxPool;
pub(crate) use pool::MaxPoolBackend;
pub use probabilities::Probabilities;
pub(crate) use probabilities::ProbabilitiesBackend;
pub use stored_logits::StoredLogits;
pub(crate) use stored_logits::StoredLogitsBackend;
pub use sum::Sum;
pub(crate) use sum::SumBackend;
pub use transposed::TransposedConvolution;
pub(crate) use transposed::{TransposedBackend, TransposedCall};

pub use pipeline_kernels::{Activation, Geometry};
