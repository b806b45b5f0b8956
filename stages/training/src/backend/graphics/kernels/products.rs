//! Sums over pixels as matrix products in float32. Pixels are divided into pieces, so that the products fill a device, and no sum
//! has a million terms.

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl::zspace::metadata::Metadata;
use burn_cubecl::cubecl::zspace::{Shape, Strides};
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::channels::fold;
use super::nhwc::{Nhwc, dense, float32, tensor};

/// Number of single-tile products that fill a large device.
const PRODUCTS: usize = 256;

/// Rows and columns per tile of a device's matrix product kernels.
const TILE: usize = 64;

/// Minimum pixels per product.
const LEAST: usize = 256;

/// The largest divisor of `count` that is at most `most`; at least one.
fn divided(count: usize, most: usize) -> usize {
    (1..=most.min(count)).rev().find(|length| count.is_multiple_of(*length)).unwrap_or(1)
}

/// A tensor's values as a tensor of another shape.
fn view<const D: usize>(from: &CubeTensor, shape: [usize; D], strides: [usize; D]) -> CubeTensor {
    let mut view = from.clone();
    *view.meta = Metadata::new(Shape::new(shape), Strides::from(strides.as_slice()));
    view
}

/// Batched matrix products in float32, written into `output`.
fn multiply(left: CubeTensor, right: CubeTensor, output: CubeTensor) -> Result<()> {
    let made = matmul(left, right, Some(output), MatmulStrategy::default(), DType::F32);
    made.map_err(|error| StageError::new(format!("the device has no kernel for a product of matrices: {error:?}")))?;
    Ok(())
}

/// The products of a map `[batch, inputs, height, width]` and rows of values `[batch * height * width, outputs]`, summed over all
/// pixels: `[inputs, outputs]`.
pub(in super::super) fn products(input: Tensor<4>, rows: Tensor<2>) -> Result<Tensor<2>> {
    let Nhwc { batch, height, width, channels: inputs, tensor: map } = Nhwc::of(input)?;
    let [_, outputs] = rows.dims();
    let pixels = batch * height * width;
    let tiles = inputs.div_ceil(TILE) * outputs.div_ceil(TILE);
    let length = divided(pixels, (pixels / PRODUCTS.div_ceil(tiles)).max(LEAST));
    let pieces = pixels / length;
    let left = view(&map, [1, pieces, inputs, length], [pixels * inputs, length * inputs, 1, inputs]);
    let right = dense(rows)?;
    let right = view(&right, [1, pieces, length, outputs], [pixels * outputs, length * outputs, outputs, 1]);
    let made = float32(&map, [1, pieces, inputs, outputs]);
    multiply(left, right, made.clone())?;
    let sums = fold(made, [1, pieces, inputs * outputs]);
    Ok(tensor::<2>(sums).reshape([inputs, outputs]))
}
