//! The 2x2 max pooling between levels, forward and backward.
//! It has no tensors of its own.

use burn::tensor::module::{max_pool2d, max_pool2d_with_indices, max_pool2d_with_indices_backward};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Int, Tensor};

fn options() -> MaxPoolOptions<2> {
    MaxPoolOptions::new([2, 2]).with_stride([2, 2])
}

/// `[batch, channels, height, width]` to half the height and width.
pub(crate) fn forward(x: Tensor<4>) -> Tensor<4> {
    max_pool2d(x, options())
}

/// As [`forward`], with where each maximum was.
pub(crate) fn forward_indexed(x: Tensor<4>) -> (Tensor<4>, Tensor<4, Int>) {
    max_pool2d_with_indices(x, options())
}

/// The gradient of the input `x`.
pub(crate) fn backward(x: Tensor<4>, indices: Tensor<4, Int>, upstream: Tensor<4>) -> Tensor<4> {
    max_pool2d_with_indices_backward(x, [2, 2], [2, 2], [0, 0], [1, 1], false, upstream, indices)
}
