//! What a device does with a network's tensors outside of passes: transfers, clearing, the optimizer's update.

use burn::tensor::{Device, Tensor};
use pipeline_contract::Result;
use pipeline_kernels::{AdamStep, SgdStep};

use crate::memory::{Ledger, Tried};
use crate::precision::Precision;

/// How one step updates the weights from their gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    Adam(AdamStep),
    Sgd(SgdStep),
}

/// The tensors of one optimizer step, each list in the order of the trained tensors.
pub(crate) struct Update<'a> {
    pub weights: &'a mut Vec<Tensor<1>>,
    pub gradients: &'a [Tensor<1>],
    /// Adam's running means of gradients, or SGD's momentum buffers; empty if the rule has none.
    pub first: &'a mut Vec<Tensor<1>>,
    /// Adam's running means of squares.
    pub second: &'a mut Vec<Tensor<1>>,
}

/// A device's work on tensors.
pub(crate) trait Runtime: Sync {
    /// The exact values of tensors in host memory; from a graphics device in one transfer.
    fn download(&self, tensors: &[Tensor<1>]) -> Result<Vec<Vec<f32>>>;

    /// Sets a window's sums to zero. The list may become empty, to be recreated by [`crate::parameters::zeros`]: on a graphics
    /// device a buffer that a failed launch should have written reports that failure for as long as it exists.
    fn clear(&self, sums: &mut Vec<Tensor<1>>) -> Result<()>;

    /// The losses of the samples in order, and the L2 norm over all sums of gradients, in one transfer. Both may be non-finite.
    fn measure(&self, ledger: &Ledger, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Tried<(Vec<f32>, f64)>;

    /// The device's part of [`Self::measure`], without reading its result: for a dry run.
    fn rehearse_measure(&self, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Result<()>;

    /// One step of an optimizer, in place; in a copy where a clone of a tensor is held elsewhere.
    fn update(&self, rule: &Rule, update: Update<'_>) -> Result<()>;

    /// Moves an average of the weights towards them, in place: `average += share * (weight - average)`. Both lists are in the
    /// order of the trained tensors.
    fn average(&self, average: &mut Vec<Tensor<1>>, weights: &[Tensor<1>], share: f32) -> Result<()>;

    /// How far a window's gradients may be from those of the same samples in one batch because of rounding, relative L2.
    fn rounding(&self, precision: Precision) -> f64;

    /// Every 8-bit value of every channel of an image, converted to a float as this device does it, `[3, 256]`.
    fn every_pixel(&self, device: &Device, precision: Precision) -> Result<Vec<f32>>;
}
