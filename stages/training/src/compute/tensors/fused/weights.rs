//! Gradients of weights, as products of matrices over pixels: the only sums there are of a million terms. Pixels are cut into pieces, so that
//! there are enough products to fill a device; a piece's sums are float32 whatever the maps are stored in, and so is the sum of the pieces.

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl::zspace::metadata::Metadata;
use burn_cubecl::cubecl::zspace::{Shape, Strides};
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::activation::{Frame, Part, framed};
use super::{Lines, dense, tensor};
use crate::compute::operation::{AT_ONCE, PIECE};
use crate::compute::tensors::Read;

/// The most rows that divide a height and have no more than so many pixels; one at least.
fn divided(height: usize, width: usize, most: usize) -> usize {
    (1..=height).rev().find(|rows| height.is_multiple_of(*rows) && (*rows == 1 || rows * width <= most)).unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Bytes from which multiples a device lets a buffer begin.
fn alignment(tensor: &CubeTensor) -> usize {
    (tensor.client.properties().memory.alignment as usize).max(1)
}

/// A view of a tensor's values from an offset on, which must be aligned.
fn view<const D: usize>(from: &CubeTensor, offset: usize, shape: [usize; D], strides: [usize; D]) -> CubeTensor {
    let mut view = from.clone();
    if offset > 0 {
        view.handle = view.handle.offset_start((offset * from.dtype.size()) as u64);
    }
    *view.meta = Metadata::new(Shape::new(shape), Strides::from(strides.as_slice()));
    view
}

/// The product of batches of matrices in float32, summed over the batches: `[rows, columns]`.
fn product(left: CubeTensor, right: CubeTensor, [rows, columns]: [usize; 2]) -> Result<Tensor<2>> {
    let made = matmul(left, right, None, MatmulStrategy::default(), DType::F32)
        .map_err(|error| StageError::new(format!("the device has no kernel for a product of matrices: {error:?}")))?;
    let batches = made.meta.num_elements() / (rows * columns).max(1);
    Ok(tensor::<4>(made).reshape([batches, rows * columns]).sum_dim(0).reshape([rows, columns]))
}

/// The gradient of a 3 x 3 convolution's weights, `[outputs, inputs, 3, 3]`: for each row of the kernel a product of two matrices with a row for
/// each pixel, one of the pixel's three neighbours in that row, side by side, the other of the gradient. Some rows of the images at a time:
/// what is held meanwhile doesn't grow with them.
pub(in super::super) fn convolve_weight(inputs: Vec<Read>, upstream: Tensor<4>) -> Result<Tensor<4>> {
    let parts = inputs.into_iter().map(Part::of).collect::<Result<Vec<_>>>()?;
    let upstream = Part::Plain(Lines::of(upstream)?);
    let Lines { batch, height, width, channels: outputs, tensor: ref gradient } = *upstream.map();
    let inputs: usize = parts.iter().map(|part| part.map().channels).sum();
    // Each row begins where a device lets a buffer begin, so that those that follow are views of the same.
    let (alignment, value) = (alignment(gradient), gradient.dtype.size());
    let columns = width.next_multiple_of(alignment / gcd(alignment, (3 * inputs * value).max(1)));
    let images = (AT_ONCE / (height * columns).max(1)).clamp(1, batch.max(1));
    let rows = divided(height, columns, AT_ONCE);
    let each = divided(rows, columns, PIECE);
    let (pieces, length) = (rows / each, each * columns);
    let mut sums: [Option<Tensor<2>>; 3] = [None, None, None];
    for (from, first) in (0..batch).step_by(images).flat_map(|from| (0..height).step_by(rows).map(move |first| (from, first))) {
        let count = images.min(batch - from);
        let parts: Vec<Part> = parts.iter().map(|part| part.images(from, count)).collect();
        let neighbours = framed(&parts, Frame { first, margin: 1, rows: rows + 2, columns, taps: 3 })?;
        let start = (from * height + first) * width * outputs;
        let whole = columns == width && (start * value).is_multiple_of(alignment);
        let (right, start, stride) = match whole {
            true => (gradient.clone(), start, height * width * outputs),
            false => {
                let frame = Frame { first, margin: 0, rows, columns, taps: 1 };
                (framed(&[upstream.images(from, count)], frame)?, 0, rows * columns * outputs)
            }
        };
        let right = view(&right, start, [count, pieces, length, outputs], [stride, length * outputs, outputs, 1]);
        for (row, sum) in sums.iter_mut().enumerate() {
            let left = view(
                &neighbours,
                row * columns * 3 * inputs,
                [count, pieces, 3 * inputs, length],
                [(rows + 2) * columns * 3 * inputs, length * 3 * inputs, 1, 3 * inputs],
            );
            let made = product(left, right.clone(), [3 * inputs, outputs])?;
            *sum = Some(match sum.take() {
                Some(sum) => sum + made,
                None => made,
            });
        }
    }
    let sums = sums.into_iter().flatten().map(|sum| sum.reshape([1, 3, inputs, outputs])).collect();
    Ok(Tensor::cat(sums, 0).permute([3, 2, 0, 1]))
}

/// The gradient of an upsampling's weights `[inputs, 4 * outputs]`, from its input `[batch, inputs, height, width]` and the gradient of its
/// output as blocks `[batch * height * width, 4 * outputs]`.
pub(in super::super) fn upsample_weight(input: Tensor<4>, blocks: Tensor<2>) -> Result<Tensor<2>> {
    let Lines { batch, height, width, channels: inputs, tensor } = Lines::of(input)?;
    let [_, outputs] = blocks.dims();
    let rows = divided(batch * height, width, PIECE);
    let (pieces, length) = (batch * height / rows, rows * width);
    let left = view(&tensor, 0, [1, pieces, inputs, length], [pieces * length * inputs, length * inputs, 1, inputs]);
    let right =
        view(&dense(blocks)?, 0, [1, pieces, length, outputs], [pieces * length * outputs, length * outputs, outputs, 1]);
    product(left, right, [inputs, outputs])
}
