//! A pass as work for any backend, and the tensors that it works on.

use burn::tensor::Tensor;
use pipeline_images::Normalization;

use crate::layer::LayerBackend;
use crate::loss::LossBackend;
use crate::memory::{Ledger, Tried};
use crate::parameters::State;
use crate::pass::Executor;
use crate::precision::Precision;

/// The normalisation by which a device's floats of 8-bit pixels are compared with the CPU's: that of ImageNet.
pub(crate) const NORMALIZATION: Normalization = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/// The tensors that a pass works on.
pub(crate) struct Site<'a> {
    pub state: &'a mut State,
    /// The window's sums, in the order of the trained tensors; empty where no backward pass is made.
    pub gradients: &'a mut [Tensor<1>],
    pub precision: Precision,
    pub ledger: Ledger,
}

/// A pass over a network, on any backend.
pub(crate) trait Work {
    type Output;

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<Self::Output>;
}
