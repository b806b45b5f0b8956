//! The core of a backend: what every pass needs besides its layers. What a backend implements for a layer is a trait next to that
//! layer (`ConvolutionBackend` in `layer/convolution.rs`, and so on).

use burn::tensor::Tensor;
use pipeline_images::Normalization;
use pipeline_kernels::Area;

use super::{Map, Scratch};
use crate::memory::Tried;
use crate::precision::Precision;

/// The purpose of a forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Training: batch norm uses the batch's statistics and updates the running ones; maps are kept for the backward pass.
    Train,
    /// Evaluation: batch norm uses the running statistics; nothing is kept.
    Evaluate,
}

/// The images of a micro-batch in host memory.
#[derive(Debug, Clone, Copy)]
pub enum Images<'a> {
    /// 8-bit `[batch, height, width, 3]`, and the normalisation that turns them into floats.
    Pixels(&'a [u8], &'a Normalization),
    /// `[batch, 3, height, width]`.
    Planes(&'a [f32]),
}

/// A device's arithmetic on maps. An operation allocates its result and the scratch memory stated by its cost function, and
/// nothing else.
pub(crate) trait Backend: Sized {
    /// The values of a map.
    type Data;
    /// What readers of a norm and its backward pass need: a few values per sample and channel.
    type Statistics;

    /// The type that maps are stored in.
    fn precision(&self) -> Precision;

    /// Bytes that the device's allocator has in use and has reserved; `None` if it can't be queried during a pass.
    fn device_memory(&self) -> Option<(u64, u64)> {
        None
    }

    /// The losses of the samples of all passes so far, still on the device.
    fn losses(self) -> Vec<Tensor<1>>;

    /// Logits or any other map as float32 in host memory.
    fn values(&mut self, map: Map<Self::Data>) -> Tried<Vec<f32>>;

    /// Bytes of the copy of a convolution's weights, of this many values, that is made for their first use in a pass and kept until
    /// the pass ends; 0 if none is.
    fn kept(&self, _values: usize) -> u64 {
        0
    }

    fn images(&mut self, images: Images<'_>, area: Area) -> Tried<Self::Data>;

    fn images_scratch(&self, area: Area) -> Scratch;

    /// All zeros, in the given precision.
    fn zeros(&mut self, channels: usize, area: Area, precision: Precision) -> Tried<Self::Data>;

    /// `sum += other`.
    fn add(&mut self, sum: &mut Map<Self::Data>, other: &Map<Self::Data>) -> Tried<()>;

    /// The sum of squares of a map's values, in float64; non-finite if any value is. For reports, not for training.
    fn squares(&mut self, map: &Map<Self::Data>) -> Tried<f64>;

    /// The same over the factors and offsets that apply a norm: an activation could hide an infinity there from whoever reads the
    /// map.
    fn norm_squares(&mut self, statistics: &Self::Statistics) -> Tried<f64>;
}
