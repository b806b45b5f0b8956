//! Gradients of weights, as matrix products over pixels: sums of up to a million terms. Pixels are divided into pieces, so that
//! the products fill a device. Pieces are summed in float32, whatever type maps are stored in.

use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl::zspace::metadata::Metadata;
use burn_cubecl::cubecl::zspace::{Shape, Strides};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::super::costs::NEIGHBOURS;
use super::channels::fold;
use super::im2col::{Window, im2col};
use super::nhwc::{Nhwc, dense, float32, tensor};
use super::normed::{Operand, Read};

/// Number of single-tile products that fill a large device.
const PRODUCTS: usize = 256;

/// Rows and columns per tile of a device's matrix product kernels.
const TILE: usize = 64;

/// Minimum pixels per product.
const LEAST: usize = 256;

/// The largest number of rows that divides `height` and has at most `most` pixels; at least one.
fn divided(height: usize, width: usize, most: usize) -> usize {
    (1..=height).rev().find(|rows| height.is_multiple_of(*rows) && (*rows == 1 || rows * width <= most)).unwrap_or(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Buffer offset alignment, in bytes.
fn alignment(tensor: &CubeTensor) -> usize {
    (tensor.client.properties().memory.alignment as usize).max(1)
}

/// A view of a tensor's values starting at `offset`, which must be aligned.
fn view<const D: usize>(from: &CubeTensor, offset: usize, shape: [usize; D], strides: [usize; D]) -> CubeTensor {
    let mut view = from.clone();
    if offset > 0 {
        view.handle = view.handle.offset_start((offset * from.dtype.size()) as u64);
    }
    *view.meta = Metadata::new(Shape::new(shape), Strides::from(strides.as_slice()));
    view
}

/// Batched matrix products in float32, written into `output`.
fn multiply(left: CubeTensor, right: CubeTensor, output: CubeTensor) -> Result<()> {
    let made = matmul(left, right, Some(output), MatmulStrategy::default(), DType::F32);
    made.map_err(|error| StageError::new(format!("the device has no kernel for a product of matrices: {error:?}")))?;
    Ok(())
}

/// How the pixels of a convolution are divided among matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shares {
    /// Images per step.
    images: usize,
    /// Rows per step.
    rows: usize,
    /// Columns per row; those after the image's last column are zero.
    columns: usize,
    /// Rows per product.
    each: usize,
}

impl Shares {
    /// `step`: rows start at multiples of this many columns.
    fn of([batch, height, width]: [usize; 3], inputs: usize, outputs: usize, step: usize) -> Self {
        let columns = width.next_multiple_of(step);
        let values = (batch * height * width * inputs).clamp(*NEIGHBOURS.start(), *NEIGHBOURS.end());
        let most = values / (3 * inputs).max(1);
        let images = divided(batch, height * columns, most);
        let rows = if images > 1 { height } else { divided(height, columns, most) };
        let tiles = (3 * inputs).div_ceil(TILE) * outputs.div_ceil(TILE);
        let wanted = PRODUCTS.div_ceil(tiles * images).max(1);
        let each = divided(rows, columns, (rows * columns / wanted).max(LEAST));
        Self { images, rows, columns, each }
    }

    fn pieces(self) -> usize {
        self.rows / self.each
    }
}

/// The gradient of a 3 x 3 convolution's weights, `[outputs, inputs, 3, 3]`. Each row of the kernel is a product of two matrices
/// with one row per pixel: im2col along rows (three taps side by side), and the gradient. A few rows of the images are processed
/// at a time, so that im2col doesn't grow with the images; the pieces' sums do grow with them, and are kept until all are summed.
pub(in super::super) fn convolve_weight(inputs: Vec<Read>, upstream: Tensor<4>) -> Result<Tensor<4>> {
    let operands = inputs.into_iter().map(Operand::of).collect::<Result<Vec<_>>>()?;
    let upstream = Operand::Plain(Nhwc::of(upstream)?);
    let Nhwc { batch, height, width, channels: outputs, tensor: ref gradient } = *upstream.map();
    let inputs: usize = operands.iter().map(|operand| operand.map().channels).sum();
    // Rows are aligned to the buffer offset alignment, so that the matrices for all three rows of the kernel are views of a
    // single one.
    let (alignment, value) = (alignment(gradient), gradient.dtype.size());
    let step = alignment / gcd(alignment, (3 * inputs * value).max(1));
    let shares @ Shares { images, rows, columns, each } = Shares::of([batch, height, width], inputs, outputs, step);
    let (pieces, length, size) = (shares.pieces(), each * columns, 3 * inputs * outputs);
    let turns = (batch / images.max(1)) * (height / rows.max(1));
    let sums = images * pieces * size;
    let stride = sums.next_multiple_of((alignment / 4).max(1));
    let made = float32(gradient, [3 * turns * stride]);
    let places = (0..batch).step_by(images).flat_map(|from| (0..height).step_by(rows).map(move |first| (from, first)));
    for (turn, (from, first)) in places.enumerate() {
        let operands: Vec<Operand> = operands.iter().map(|operand| operand.images(from, images)).collect();
        let taps = im2col(&operands, Window { first, margin: 1, rows: rows + 2, columns, taps: 3 })?;
        let start = (from * height + first) * width * outputs;
        let (right, start, image) = if columns == width && (start * value).is_multiple_of(alignment) {
            (gradient.clone(), start, height * width * outputs)
        } else {
            let window = Window { first, margin: 0, rows, columns, taps: 1 };
            (im2col(&[upstream.images(from, images)], window)?, 0, rows * columns * outputs)
        };
        let right = view(&right, start, [images, pieces, length, outputs], [image, length * outputs, outputs, 1]);
        for row in 0..3 {
            let left = view(
                &taps,
                row * columns * 3 * inputs,
                [images, pieces, 3 * inputs, length],
                [(rows + 2) * columns * 3 * inputs, length * 3 * inputs, 1, 3 * inputs],
            );
            let shape = [images, pieces, 3 * inputs, outputs];
            let to = view(&made, (row * turns + turn) * stride, shape, [pieces * size, size, outputs, 1]);
            multiply(left, right.clone(), to)?;
        }
    }
    let all = view(&made, 0, [3, turns, images * pieces, size], [turns * stride, stride, size, 1]);
    let sums = fold(into_contiguous(all), [3, turns * images * pieces, size]);
    Ok(tensor::<2>(sums).reshape([3, 3, inputs, outputs]).permute([3, 2, 0, 1]))
}

/// The gradient of an upsampling's weights `[inputs, 4 * outputs]`, from its input `[batch, inputs, height, width]` and the
/// gradient of its output as blocks `[batch * height * width, 4 * outputs]`.
pub(in super::super) fn upsample_weight(input: Tensor<4>, blocks: Tensor<2>) -> Result<Tensor<2>> {
    let Nhwc { batch, height, width, channels: inputs, tensor: map } = Nhwc::of(input)?;
    let [_, outputs] = blocks.dims();
    let pixels = batch * height * width;
    let tiles = inputs.div_ceil(TILE) * outputs.div_ceil(TILE);
    let length = divided(pixels, 1, (pixels / PRODUCTS.div_ceil(tiles)).max(LEAST));
    let pieces = pixels / length;
    let left = view(&map, 0, [1, pieces, inputs, length], [pixels * inputs, length * inputs, 1, inputs]);
    let right = dense(blocks)?;
    let right = view(&right, 0, [1, pieces, length, outputs], [pixels * outputs, length * outputs, outputs, 1]);
    let made = float32(&map, [1, pieces, inputs, outputs]);
    multiply(left, right, made.clone())?;
    let sums = fold(made, [1, pieces, inputs * outputs]);
    Ok(tensor::<2>(sums).reshape([inputs, outputs]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_pixels_once_and_stay_within_bounds() {
        for (images, inputs, outputs) in
            [([1, 1024, 1024], 32, 32), ([4, 1024, 1024], 3, 32), ([4, 64, 64], 1024, 512), ([3, 10, 14], 3, 5)]
        {
            let [batch, height, width] = images;
            for step in [1, 16, 128] {
                let shares = Shares::of(images, inputs, outputs, step);
                let Shares { images, rows, columns, each } = shares;
                assert!(batch % images == 0 && height % rows == 0 && rows % each == 0, "{shares:?}");
                assert!(columns >= width && columns.is_multiple_of(step) && columns < width + step, "{shares:?}");
                assert!(rows == 1 || images * rows * columns * 3 * inputs <= *NEIGHBOURS.end(), "{shares:?}");
            }
        }
    }
}
