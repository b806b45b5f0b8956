//! Maps as kernels take them: contiguous NHWC tensors, and the conversion from burn's tensors and back.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{BackendTensor, DispatchTensor, DispatchTensorKind};
use burn::tensor::{DType, Float, Shape, Tensor};
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::{AddressType, CubeCount, CubeDim, ElemType};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

/// One of burn's tensors, for files whose `Tensor` is the kernels' type.
pub(super) type Values<const D: usize, K = Float> = Tensor<D, K>;

/// A contiguous map `[batch, height, width, channels]`.
#[derive(Clone)]
pub(super) struct Nhwc {
    pub tensor: CubeTensor,
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Nhwc {
    /// From a tensor `[batch, channels, height, width]`, copied only if its layout in memory differs.
    pub fn of(map: Tensor<4>) -> Result<Self> {
        let [batch, channels, height, width] = map.dims();
        Ok(Self { tensor: dense(map.permute([0, 2, 3, 1]))?, batch, height, width, channels })
    }

    /// An uninitialised map on the device of another tensor.
    pub fn empty(like: &CubeTensor, [batch, height, width, channels]: [usize; 4], dtype: DType) -> Self {
        let shape = Shape::new([batch, height, width, channels]);
        let tensor = empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, dtype);
        Self { tensor, batch, height, width, channels }
    }

    pub fn dims(&self) -> [usize; 4] {
        [self.batch, self.height, self.width, self.channels]
    }

    /// As a tensor `[batch, channels, height, width]`.
    pub fn map(self) -> Tensor<4> {
        tensor::<4>(self.tensor).permute([0, 3, 1, 2])
    }

    /// Pixels per image.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Neighbouring channels that a unit handles at once: the device's widest load that divides this map's channels and all of
    /// `channels`.
    pub fn vector_size(&self, channels: &[usize]) -> usize {
        let mut sizes = self.tensor.client.io_optimized_vector_sizes(self.tensor.dtype.size());
        sizes
            .find(|size| self.channels.is_multiple_of(*size) && channels.iter().all(|count| count.is_multiple_of(*size)))
            .unwrap_or(1)
    }
}

/// The contiguous primitive of a tensor on a graphics device.
pub(super) fn dense<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor> {
    Ok(into_contiguous(primitive(tensor)?))
}

/// The primitive of a tensor on a graphics device, whatever its strides are.
pub(super) fn primitive<const D: usize>(tensor: Tensor<D>) -> Result<CubeTensor> {
    match tensor.into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(tensor)) => Ok(tensor),
        _ => Err(StageError::new("a tensor that isn't on a graphics device")),
    }
}

/// Identifies the memory that holds a tensor, without keeping it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory(usize);

/// The memory that holds a tensor.
pub(in super::super) fn memory<const D: usize>(tensor: &Tensor<D>) -> Result<Memory> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(tensor)) => Ok(Memory(tensor.handle.memory.descriptor().id.value)),
        _ => Err(StageError::new("a tensor that isn't on a graphics device")),
    }
}

pub(super) fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    let kind = DispatchTensorKind::Cube(BackendTensor::Float(primitive));
    Tensor::from_dispatch(DispatchTensor { kind, autodiff: Default::default() })
}

/// An uninitialised float32 tensor on the device of another tensor.
pub(super) fn float32<const D: usize>(like: &CubeTensor, shape: [usize; D]) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), Shape::new(shape), DType::F32)
}

/// A tensor that nothing else shares: the tensor itself or a copy.
pub(super) fn owned(tensor: CubeTensor) -> CubeTensor {
    if tensor.can_mut() { tensor } else { tensor.copy() }
}

/// The type of a tensor's values, as a kernel argument.
pub(super) fn stored(tensor: &CubeTensor) -> ElemType {
    dtype_to_storage_type(tensor.dtype)
}

/// An index type wide enough for each of the tensors.
pub(super) fn addresses(tensors: &[&CubeTensor]) -> AddressType {
    let widest = tensors.iter().map(|tensor| tensor.meta.num_elements()).max().unwrap_or(0);
    AddressType::from_len(widest)
}

/// A launch of independent units.
pub(super) fn spread(like: &CubeTensor, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&like.client, units);
    (calculate_cube_count_elemwise(&like.client, units, dim), dim)
}
