//! How a kernel reads a map: its size, and the norm and activation applied while reading.

use crate::Activation;

/// The size of a map, without its channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Samples.
    pub batch: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Area {
    /// Pixels of one channel of one sample.
    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Number of values in a map with this many channels.
    pub fn values(self, channels: usize) -> usize {
        self.batch * channels * self.pixels()
    }
}

/// A map as a kernel reads it: as it is, or through a norm and an activation, whose result is then never stored.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, E> {
    /// `[batch, channels, height, width]`.
    pub values: &'a [E],
    /// Number of channels.
    pub channels: usize,
    /// `[scale, shift]` for each sample and channel (`batch * channels` of them): a value `x` is read as
    /// `activation(scale * x + shift)`, or without an affine as `activation(x)`.
    pub affine: Option<&'a [[f32; 2]]>,
    /// Applied last.
    pub activation: Activation,
}

impl<'a, E> View<'a, E> {
    /// A map read as it is.
    pub fn plain(values: &'a [E], channels: usize) -> Self {
        View { values, channels, affine: None, activation: Activation::Identity }
    }

    /// A map read through a norm, given as `[scale, shift]` for each sample and channel, and an activation.
    pub fn normed(values: &'a [E], channels: usize, affine: &'a [[f32; 2]], activation: Activation) -> Self {
        View { values, channels, affine: Some(affine), activation }
    }
}
