//! What an arithmetic must be able to do: one function a layer and direction. It allocates what it returns and what
//! `Operation::temporaries` says, no more.

use pipeline_images::Normalization;
use pipeline_kernels::Area;

use super::Map;
use crate::loss::Loss;
use crate::memory::Tried;
use crate::network::{Convolution, Head, Norm, Upsample};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Training: batch norm uses the batch's statistics and updates the running ones; the tape is kept.
    Train,
    /// Evaluation: batch norm uses the running statistics; nothing is kept.
    Evaluate,
}

/// A map as a layer reads it: as it is, or through the norm and ReLU that follow the convolution which made it. The result
/// of norm and ReLU is never kept as a map of its own.
pub(crate) struct Input<'a, A: Arithmetic + ?Sized> {
    pub map: &'a Map<A::Data>,
    pub norm: Option<(&'a Norm, &'a A::Moments)>,
}

impl<A: Arithmetic + ?Sized> Clone for Input<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A: Arithmetic + ?Sized> Copy for Input<'_, A> {}

/// Images of a micro-batch in the host's memory.
#[derive(Debug, Clone, Copy)]
pub enum Images<'a> {
    /// 8-bit `[batch, height, width, 3]` with what turns them to floats.
    Pixels(&'a [u8], &'a Normalization),
    /// `[batch, 3, height, width]`.
    Planes(&'a [f32]),
}

/// The arithmetic of the layers. Data of maps are `[batch, channels, height, width]`; an `Area` is that of the input.
/// Gradients of weights are added to the window's sums.
pub(crate) trait Arithmetic {
    /// The values of a map.
    type Data;
    /// The statistics of a norm.
    type Moments: Clone;

    /// Bytes that the device's allocator has in use and reserved, where there is one to ask during a pass.
    fn device_memory(&self) -> Option<(u64, u64)> {
        None
    }

    fn images(&mut self, images: Images<'_>, area: Area) -> Tried<Self::Data>;
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], area: Area) -> Tried<Self::Data>;
    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Self::Data>) -> Tried<()>;
    /// The gradient of a range of the input's channels.
    fn convolve_input(
        &mut self,
        layer: &Convolution,
        upstream: &Map<Self::Data>,
        wanted: std::ops::Range<usize>,
    ) -> Tried<Self::Data>;
    /// The statistics of a norm over `x`; in training batch norm moves its running ones.
    fn moments(&mut self, norm: &Norm, x: &Map<Self::Data>, pass: Pass) -> Tried<Self::Moments>;
    /// From the gradient behind norm and ReLU to that before them, in place.
    fn norm_input(
        &mut self,
        norm: &Norm,
        x: &Map<Self::Data>,
        moments: &Self::Moments,
        upstream: &mut Map<Self::Data>,
    ) -> Tried<()>;
    fn pool(&mut self, input: Input<'_, Self>) -> Tried<Self::Data>;
    /// Adds the gradient of the pooling's input.
    fn pool_input(&mut self, input: Input<'_, Self>, upstream: &Map<Self::Data>, sum: &mut Map<Self::Data>) -> Tried<()>;
    fn upsample(&mut self, layer: &Upsample, input: Input<'_, Self>) -> Tried<Self::Data>;
    fn upsample_weight(&mut self, layer: &Upsample, input: Input<'_, Self>, upstream: &Map<Self::Data>) -> Tried<()>;
    fn upsample_input(&mut self, layer: &Upsample, upstream: &Map<Self::Data>) -> Tried<Self::Data>;
    /// Logits, float32.
    fn head(&mut self, layer: &Head, input: Input<'_, Self>) -> Tried<Self::Data>;
    fn head_weight(&mut self, layer: &Head, input: Input<'_, Self>, upstream: &Map<Self::Data>) -> Tried<()>;
    fn head_input(&mut self, layer: &Head, upstream: &Map<Self::Data>) -> Tried<Self::Data>;
    /// From logits to the gradient of `scale` times the sum of the samples' losses, in place; the losses go to the
    /// arithmetic's own list. Masks are 0 or 1, `[batch, height, width]`.
    fn loss(&mut self, loss: Loss, logits: &mut Map<Self::Data>, masks: &[u8], scale: f32) -> Tried<()>;
    /// All zeros.
    fn zeros(&mut self, channels: usize, area: Area) -> Tried<Self::Data>;
    fn add(&mut self, sum: &mut Map<Self::Data>, other: &Map<Self::Data>) -> Tried<()>;
    /// The sum of squares of a map's own values, in float64. Not finite where one of them isn't, nor one of what its norm
    /// multiplies and adds: a ReLU would hide that from whoever reads the map. For a look at what went wrong, not for training.
    fn squares(&mut self, input: Input<'_, Self>) -> Tried<f64>;
}
