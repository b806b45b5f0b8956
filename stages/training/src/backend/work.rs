//! A pass as work for any backend, and the tensors it works on.

use burn::tensor::Tensor;
use pipeline_images::Normalization;

use crate::layer::LayerBackend;
use crate::loss::LossBackend;
use crate::memory::{Ledger, Tried};
use crate::parameters::State;
use crate::pass::Executor;
use crate::precision::Precision;

/// The normalisation used to compare a device's floats for 8-bit pixels with the CPU's: ImageNet's.
pub(crate) const NORMALIZATION: Normalization = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/// The tensors that a pass works on.
pub(crate) struct Site<'a> {
    pub state: &'a mut State,
    /// The window's sums, in the order of the trained tensors; empty if there is no backward pass.
    pub gradients: &'a mut Vec<Tensor<1>>,
    pub precision: Precision,
    pub ledger: Ledger,
}

/// A pass over a network, on any backend.
pub(crate) trait Work {
    type Output;

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<Self::Output>;
}
