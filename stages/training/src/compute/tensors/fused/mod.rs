//! Kernels of our own for graphics devices: what lies between the convolutions, each in one pass over its maps, or two where a sum over
//! pixels must be known first. Element-wise operations of tensors would read and write every map once for each sign in a formula, and hold
//! two or three maps in between; these hold none. The counterpart for builds without graphics devices is `absent`.
//!
//! Maps are `[batch, height, width, channels]` in memory without gaps, which is what convolutions take and give; arithmetic and sums are
//! float32, whatever maps are stored in.

mod activation;
mod channels;
mod head;
mod loss;
mod norm;
mod pool;
mod step;
mod upsample;
mod weights;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind};
use burn::tensor::{DType, Device, Shape, Tensor};
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::{AddressType, CubeCount, CubeDim, ElemType};
use burn_cubecl::kernel::{into_contiguous, slice};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::{Normed, Read};
use crate::device;

pub(super) use activation::activate;
pub(super) use head::{head, head_bias, head_input, head_weight};
pub(super) use loss::loss;
pub(super) use norm::{moments, norm_input};
pub(super) use pool::{pool, pool_input};
pub(super) use step::{adam, squares};
pub(super) use upsample::{upsample, upsample_bias, windows};
pub(super) use weights::{convolve_weight, upsample_weight};

/// A tensor of burn's: what kernels call a tensor is what they are given of one.
type Values<const D: usize> = Tensor<D>;

/// Whether the maps of a device are for these kernels.
pub(super) fn runs(device: &Device) -> bool {
    !device::is_cpu(device)
}

/// A map with its norm, as the kernels take it.
#[derive(Clone)]
struct Parts {
    map: Lines,
    mean: CubeTensor,
    inverse: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
}

impl Normed {
    fn parts(self) -> Result<Parts> {
        Ok(Parts {
            map: Lines::of(self.map)?,
            mean: dense(self.mean)?,
            inverse: dense(self.inverse)?,
            scale: dense(self.scale)?,
            shift: dense(self.shift)?,
        })
    }
}

/// A map `[batch, height, width, channels]` without gaps.
#[derive(Clone)]
struct Lines {
    tensor: CubeTensor,
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
}

impl Lines {
    /// From a tensor `[batch, channels, height, width]`, copied only if it lies otherwise in memory.
    fn of(map: Tensor<4>) -> Result<Self> {
        let [batch, channels, height, width] = map.dims();
        Ok(Self { tensor: dense(map.permute([0, 2, 3, 1]))?, batch, height, width, channels })
    }

    /// Not filled, on the device of another tensor.
    fn empty(like: &CubeTensor, [batch, height, width, channels]: [usize; 4], dtype: DType) -> Self {
        let shape = Shape::new([batch, height, width, channels]);
        let tensor = empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, dtype);
        Self { tensor, batch, height, width, channels }
    }

    fn dims(&self) -> [usize; 4] {
        [self.batch, self.height, self.width, self.channels]
    }

    /// As a tensor `[batch, channels, height, width]`.
    fn map(self) -> Tensor<4> {
        tensor::<4>(self.tensor).permute([0, 3, 1, 2])
    }

    /// Of some of the images.
    fn images(&self, from: usize, count: usize) -> Self {
        Self { tensor: rows(&self.tensor, from, count), batch: count, ..self.clone() }
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// How many neighbouring channels a unit handles at once: as many as the device reads at a time, of those that divide all of the
    /// counts of channels.
    fn vector(&self, channels: &[usize]) -> usize {
        let mut sizes = self.tensor.client.io_optimized_vector_sizes(4);
        sizes
            .find(|size| self.channels.is_multiple_of(*size) && channels.iter().all(|count| count.is_multiple_of(*size)))
            .unwrap_or(1)
    }
}

/// A tensor's primitive on a graphics device, without gaps.
fn dense<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor> {
    match tensor.into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(tensor)) => Ok(into_contiguous(tensor)),
        _ => Err(StageError::new("a tensor that isn't on a graphics device")),
    }
}

/// Some of the first dimension.
fn rows(tensor: &CubeTensor, from: usize, count: usize) -> CubeTensor {
    let shape = tensor.meta.shape();
    if (from, count) == (0, shape[0]) {
        return tensor.clone();
    }
    let ranges: Vec<_> = std::iter::once(from..from + count).chain(shape.iter().skip(1).map(|&length| 0..length)).collect();
    slice(tensor.clone(), &ranges)
}

fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    let kind = DispatchTensorKind::Cube(BackendTensor::Float(primitive));
    Tensor::from_dispatch(DispatchTensor { kind, autodiff: Default::default() })
}

/// Float32, not filled, on the device of another tensor.
fn float32<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::new(shape), DType::F32)
}

/// The type of a tensor's values as kernels are told it.
fn stored(tensor: &CubeTensor) -> ElemType {
    dtype_to_storage_type(tensor.dtype)
}

/// What is wide enough to count the values of all of the tensors.
fn addresses(tensors: &[&CubeTensor]) -> AddressType {
    let widest = tensors.iter().map(|tensor| tensor.meta.num_elements()).max().unwrap_or(0);
    AddressType::from_len(widest)
}

/// A launch of so many units that know of each other nothing.
fn spread(like: &CubeTensor, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&like.client, units);
    (calculate_cube_count_elemwise(&like.client, units, dim), dim)
}
