//! Small helpers for burn's tensors.

use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{DType, Tensor};
use pipeline_kernels::Activation;

use crate::memory::Tried;

/// A tensor in float32.
pub(super) fn wide<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if tensor.dtype() == DType::F32 { tensor } else { tensor.cast(DType::F32) }
}

/// Replaces a map with the result of `work` on it: in place, where `work` can.
pub(super) fn replace(data: &mut Tensor<4>, work: impl FnOnce(Tensor<4>) -> Tried<Tensor<4>>) -> Tried<()> {
    let mut done = Ok(());
    data.inplace(|tensor| {
        let device = tensor.device();
        work(tensor).unwrap_or_else(|fault| {
            done = Err(fault);
            Tensor::empty([1; 4], &device)
        })
    });
    done
}

/// A map's pixels, one row of channels each: `[batch * height * width, channels]`.
pub(super) fn rows(map: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = map.dims();
    map.permute([0, 2, 3, 1]).reshape([batch * height * width, channels])
}

/// Applies an activation to a map.
pub(super) fn activate(map: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::Identity => map,
        Activation::Relu => relu(map),
        Activation::LeakyRelu(slope) => leaky_relu(map, f64::from(slope)),
    }
}
