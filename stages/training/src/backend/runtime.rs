//! What a device does for a network's tensors outside of passes: transfers, clearing, the optimizer's update.

use burn::tensor::{Device, Tensor};
use pipeline_contract::Result;
use pipeline_kernels::{AdamStep, SgdStep};

use crate::memory::{Ledger, Tried};
use crate::precision::Precision;

/// How weights follow their gradients in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    Adam(AdamStep),
    Sgd(SgdStep),
}

/// The tensors of one step of an optimizer, each list in the order of the trained tensors.
pub(crate) struct Update<'a> {
    pub weights: &'a mut Vec<Tensor<1>>,
    pub gradients: &'a [Tensor<1>],
    /// Adam's running means of gradients, SGD's momentum buffers; empty where the rule has none.
    pub first: &'a mut Vec<Tensor<1>>,
    /// Adam's running means of squares.
    pub second: &'a mut Vec<Tensor<1>>,
}

/// A device's work on tensors.
pub(crate) trait Runtime: Sync {
    /// The values of tensors in host memory, to the last bit; from a graphics device in one transfer.
    fn download(&self, tensors: &[Tensor<1>]) -> Result<Vec<Vec<f32>>>;

    /// Sets a window's sums to zero. They may become empty, to be made again by [`crate::parameters::zeros`].
    fn clear(&self, sums: &mut Vec<Tensor<1>>) -> Result<()>;

    /// The losses of samples in order, and the L2 norm over all sums of gradients, in one transfer. Both may not be finite.
    fn measure(&self, ledger: &Ledger, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Tried<(Vec<f32>, f64)>;

    /// The device's part of [`Self::measure`], without reading its result: for a dry run.
    fn rehearse_measure(&self, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Result<()>;

    /// One step of an optimizer, in place.
    fn update(&self, rule: &Rule, update: Update<'_>) -> Result<()>;

    /// How far gradients of a window may be from those of the same samples as one batch, relative L2: what rounding explains.
    fn rounding(&self, precision: Precision) -> f64;

    /// Every 8-bit value of every channel of an image as this device makes a float of it, `[3, 256]`.
    fn every_pixel(&self, device: &Device, precision: Precision) -> Result<Vec<f32>>;
}
