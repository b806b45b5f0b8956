//! A map with the norm through which it is read.

use burn::tensor::Tensor;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::Result;

use super::lines::{Lines, dense};

/// A map with the norm and activation through which it is read: mean and inverse deviation `[batch, channels]`, scale and shift
/// `[channels]`, and the slope of the activation below zero (0 for ReLU, 1 for none).
#[derive(Clone)]
pub(in super::super) struct Normed {
    pub map: Tensor<4>,
    pub mean: Tensor<2>,
    pub inverse: Tensor<2>,
    pub scale: Tensor<1>,
    pub shift: Tensor<1>,
    pub slope: f32,
}

/// A map as a layer reads it.
#[expect(clippy::large_enum_variant, reason = "one at a time, for the length of a call")]
pub(in super::super) enum Read {
    Normed(Normed),
    Plain(Tensor<4>),
}

/// A map with its norm, as the kernels take it.
#[derive(Clone)]
pub(super) struct Parts {
    pub map: Lines,
    pub mean: CubeTensor,
    pub inverse: CubeTensor,
    pub scale: CubeTensor,
    pub shift: CubeTensor,
    pub slope: f32,
}

impl Normed {
    pub(super) fn parts(self) -> Result<Parts> {
        Ok(Parts {
            map: Lines::of(self.map)?,
            mean: dense(self.mean)?,
            inverse: dense(self.inverse)?,
            scale: dense(self.scale)?,
            shift: dense(self.shift)?,
            slope: self.slope,
        })
    }
}
