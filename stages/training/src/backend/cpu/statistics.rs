//! The results of a norm on the CPU.

use pipeline_kernels::Activation;

use super::values::squares;

/// What readers and the backward pass need from a norm, per plane (sample and channel) of each of its inputs.
#[derive(Debug, Clone)]
pub(crate) struct Statistics {
    pub(super) parts: Vec<Part>,
    /// One over the standard deviation, for each plane of all inputs together.
    pub(super) inverse: Vec<f64>,
    pub(super) activation: Activation,
}

/// The planes of one input.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// `[scale, shift]`: the norm of `x` is `scale * x + shift`.
    pub affine: Vec<[f32; 2]>,
    /// The mean, which is subtracted before dividing by the deviation.
    pub means: Vec<f32>,
}

impl Statistics {
    pub(super) fn affine(&self, part: usize) -> &[[f32; 2]] {
        &self.parts[part].affine
    }

    pub(super) fn squares(&self) -> f64 {
        self.parts.iter().map(|part| squares(part.affine.as_flattened())).sum()
    }
}
