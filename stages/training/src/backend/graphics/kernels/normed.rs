//! A map with the norm and activation that it is read through.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::Result;

use super::nhwc::{Nhwc, Values, dense};

/// A map with the norm and activation that it is read through: mean and inverse deviation `[batch, channels]`, scale and shift
/// `[channels]`, and the slope of the activation below zero (0 for ReLU, 1 for none).
#[derive(Clone)]
pub(in super::super) struct Normed {
    pub map: Values<4>,
    pub mean: Values<2>,
    pub inverse: Values<2>,
    pub scale: Values<1>,
    pub shift: Values<1>,
    pub slope: f32,
}

/// A map as a layer reads it.
#[expect(clippy::large_enum_variant, reason = "one at a time, for the length of a call")]
pub(in super::super) enum Read {
    Normed(Normed),
    Plain(Values<4>),
}

/// The norm of a [`Normed`], on the device.
#[derive(Clone)]
pub(super) struct NormTensors {
    mean: CubeTensor,
    inverse: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
    slope: f32,
}

/// A [`Normed`] as kernels take it.
#[derive(Clone)]
pub(super) struct NormedMap {
    pub map: Nhwc,
    pub norm: NormTensors,
}

impl NormedMap {
    pub fn of(normed: Normed) -> Result<Self> {
        let Normed { map, mean, inverse, scale, shift, slope } = normed;
        let (mean, inverse, scale, shift) = (dense(mean)?, dense(inverse)?, dense(scale)?, dense(shift)?);
        Ok(Self { map: Nhwc::of(map)?, norm: NormTensors { mean, inverse, scale, shift, slope } })
    }
}

impl NormTensors {
    /// The launch argument.
    pub fn arg<N: Size>(&self) -> NormLaunch<N> {
        let arg = |tensor: &CubeTensor| tensor.clone().into_tensor_arg();
        NormLaunch::new(arg(&self.mean), arg(&self.inverse), arg(&self.scale), arg(&self.shift), self.slope)
    }
}

/// A norm and the activation after it, in a kernel.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Norm<N: Size> {
    mean: OwnedTensor<Vector<f32, N>>,
    inverse: OwnedTensor<Vector<f32, N>>,
    scale: OwnedTensor<Vector<f32, N>>,
    shift: OwnedTensor<Vector<f32, N>>,
    slope: f32,
}

/// The same for one channel vector of one image.
#[derive(CubeType)]
pub(super) struct ChannelNorm<N: Size> {
    mean: Vector<f32, N>,
    pub inverse: Vector<f32, N>,
    pub scale: Vector<f32, N>,
    shift: Vector<f32, N>,
    slope: f32,
}

#[cube]
impl<N: Size> Norm<N> {
    /// The norm of channel vector `vector` of an image, whose pixels have `vectors` channel vectors each.
    pub fn of(&self, image: usize, vector: usize, vectors: usize) -> ChannelNorm<N> {
        let at = image * vectors + vector;
        ChannelNorm::<N> {
            mean: self.mean[at],
            inverse: self.inverse[at],
            scale: self.scale[vector],
            shift: self.shift[vector],
            slope: self.slope,
        }
    }
}

#[cube]
impl<N: Size> ChannelNorm<N> {
    /// `(x - mean) / deviation`.
    pub fn normalized(&self, x: Vector<f32, N>) -> Vector<f32, N> {
        (x - self.mean) * self.inverse
    }

    /// `y = normalized(x) * scale + shift`, or `slope * y` where that isn't positive. NaN stays NaN.
    pub fn apply(&self, x: Vector<f32, N>) -> Vector<f32, N> {
        let y = (x - self.mean) * (self.inverse * self.scale) + self.shift;
        select_many(y.less_equal(&Vector::new(0.0f32)), y * Vector::new(self.slope), y)
    }

    /// The gradient before the activation, from the gradient after it.
    pub fn before_activation(&self, normalized: Vector<f32, N>, upstream: Vector<f32, N>) -> Vector<f32, N> {
        let y = normalized * self.scale + self.shift;
        select_many(y.less_equal(&Vector::new(0.0f32)), upstream * Vector::new(self.slope), upstream)
    }
}

/// An input of a layer, as kernels take it.
#[expect(clippy::large_enum_variant, reason = "some at a time, for the length of a call")]
#[derive(Clone)]
pub(super) enum Operand {
    Normed(NormedMap),
    Plain(Nhwc),
}

impl Operand {
    pub fn of(read: Read) -> Result<Self> {
        match read {
            Read::Normed(normed) => NormedMap::of(normed).map(Self::Normed),
            Read::Plain(map) => Nhwc::of(map).map(Self::Plain),
        }
    }

    pub fn map(&self) -> &Nhwc {
        match self {
            Self::Normed(normed) => &normed.map,
            Self::Plain(map) => map,
        }
    }
}
