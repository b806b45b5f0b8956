//! Work on maps in half precision that is done in float32, as on the CPU. A library's kernel may sum in the type of the maps, and on a
//! device without matrix units it does: eleven bits then have to hold the sum of a million pixels, or of the products of a thousand
//! channels.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::PadMode;

use super::{same, wide};

/// At most so many values of a band of rows are float32 at a time, unless a single row has more.
const BAND: usize = 1 << 21;

/// At most so many pixels are summed before their sum is rounded to the type of the maps, unless a single row has more.
const PIECE: usize = 1 << 14;

/// Makes maps of a shape a band of rows at a time: `make` is given the rows from and to. `channels` is how many channels there are of
/// what is float32 meanwhile.
fn banded(shape: [usize; 4], channels: usize, like: &Tensor<4>, make: impl Fn(usize, usize) -> Tensor<4>) -> Tensor<4> {
    let [batch, outputs, height, width] = shape;
    let rows = (BAND / (batch * channels * width).max(1)).clamp(1, height.max(1));
    if rows == height {
        return make(0, height).cast(like.dtype());
    }
    // Channels last in memory, as convolutions give it.
    let output = Tensor::empty([batch, height, width, outputs], (&like.device(), like.dtype()));
    let mut output = output.permute([0, 3, 1, 2]);
    for top in (0..height).step_by(rows) {
        let bottom = (top + rows).min(height);
        let made = make(top, bottom).cast(like.dtype());
        output.inplace(|output| output.slice_assign([0..batch, 0..outputs, top..bottom, 0..width], made));
    }
    output
}

/// Rows of maps, in float32.
fn rows(maps: &Tensor<4>, top: usize, bottom: usize) -> Tensor<4> {
    let [_, _, height, _] = maps.dims();
    wide(if bottom - top == height { maps.clone() } else { maps.clone().narrow(2, top, bottom - top) })
}

/// `relu(input * scale + shift)`, rounded once: maps `[batch, channels, height, width]`, scale and shift in float32 and of shapes that
/// spread over them.
pub(super) fn activate(input: Tensor<4>, scale: &Tensor<4>, shift: &Tensor<4>) -> Tensor<4> {
    let [_, channels, ..] = input.dims();
    banded(input.dims(), channels, &input, |top, bottom| relu(rows(&input, top, bottom) * scale.clone() + shift.clone()))
}

/// A 3 x 3 convolution, computed in float32 a band of rows at a time: maps `[batch, inputs, height, width]` and weights
/// `[outputs, inputs, 3, 3]` in float32 to `[batch, outputs, height, width]` in the maps' type.
pub(super) fn convolve(input: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let [batch, inputs, height, width] = input.dims();
    let [outputs, ..] = weight.dims();
    banded([batch, outputs, height, width], inputs.max(outputs), &input, |top, bottom| {
        // With the rows above and below that the band's own rows see.
        let (above, below) = (top.min(1), (height - bottom).min(1));
        let made = conv2d(rows(&input, top - above, bottom + below), weight.clone(), None, same());
        if above + below == 0 { made } else { made.narrow(2, above, bottom - top) }
    })
}

/// The gradient of a 3 x 3 convolution's weights, `[outputs, inputs, 3, 3]` in float32, from its maps
/// `[batch, inputs, height, width]` and the gradient of its output: for each of the nine places of the kernel a product of matrices over
/// pixels, which libraries sum in float32 whatever the type of the matrices. The pixels are cut into pieces of whole rows, so that there
/// are many products at a time, and the pieces' sums are added in float32.
pub(super) fn weight_gradient(input: Tensor<4>, upstream: Tensor<4>) -> Tensor<4> {
    let [batch, inputs, height, width] = input.dims();
    let [_, outputs, ..] = upstream.dims();
    let rows = piece(height, width);
    // `[batch, pieces, channels, pixels]`.
    let cut = |map: Tensor<4>| {
        let [_, channels, ..] = map.dims();
        map.reshape([batch, channels, height / rows, rows * width]).swap_dims(1, 2)
    };
    let upstream = cut(upstream);
    let padded = input.pad((1, 1, 1, 1), PadMode::Constant(0.0));
    let places = (0..9).map(|place| {
        let (y, x) = (place / 3, place % 3);
        let shifted = padded.clone().slice([0..batch, 0..inputs, y..y + height, x..x + width]);
        let sums = wide(upstream.clone().matmul(cut(shifted).transpose()));
        sums.sum_dim(0).sum_dim(1).reshape([outputs, inputs, 1])
    });
    Tensor::cat(places.collect(), 2).reshape([outputs, inputs, 3, 3])
}

/// How many rows a piece has: the most that divide the height and stay within [`PIECE`].
fn piece(height: usize, width: usize) -> usize {
    (1..=height).rev().find(|rows| height.is_multiple_of(*rows) && (*rows == 1 || rows * width <= PIECE)).unwrap_or(1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use burn::tensor::module::conv2d_weight_backward;
    use burn::tensor::{DType, Device, Distribution};

    use super::*;

    fn far(left: Tensor<4>, right: Tensor<4>) -> f64 {
        assert_eq!(left.dims(), right.dims());
        let values = |tensor: Tensor<4>| wide(tensor).try_into_vec_as::<f32>().unwrap();
        let (left, right) = (values(left), values(right));
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        norm(&mut left.iter().zip(&right).map(|(a, b)| f64::from(a - b))) / norm(&mut right.iter().map(|b| f64::from(*b)))
    }

    /// By another way: the library's kernels in float32, on the very values that the maps hold in half precision. The heights are
    /// such that there is one band or several, with a last one that is smaller; and one piece, several, or a row each.
    #[test]
    fn bands_and_pieces_change_nothing_but_rounding() {
        let device = Device::flex();
        for [batch, inputs, outputs, height, width] in [[2, 3, 4, 8, 6], [1, 8, 5, 23, 4096], [1, 2, 3, 6, 20000]] {
            let random = |shape, low| Tensor::<4>::random(shape, Distribution::Uniform(low, 1.0), &device).cast(DType::F16);
            // Activations are never negative, and a gradient may have a mean of its own.
            let input = random([batch, inputs, height, width], 0.0);
            let upstream = random([batch, outputs, height, width], -0.9);
            let weight = wide(random([outputs, inputs, 3, 3], -1.0));
            let forward = conv2d(wide(input.clone()), weight.clone(), None, same());
            assert!(far(convolve(input.clone(), weight.clone()), forward) < 5e-4, "{height} x {width}");
            let gradient = conv2d_weight_backward(wide(input.clone()), weight, wide(upstream.clone()), same());
            assert!(far(weight_gradient(input, upstream), gradient) < 1e-3, "{height} x {width}");
        }
    }

    #[test]
    fn an_activation_is_rounded_once() {
        let device = Device::flex();
        let shape = [1, 2, 23, 100_000];
        let input = Tensor::<4>::random(shape, Distribution::Uniform(-4.0, 4.0), &device).cast(DType::F16);
        let [scale, shift] = [0.9, -1.7].map(|value| Tensor::<4>::full([1, 2, 1, 1], value, &device));
        let whole = relu(wide(input.clone()) * scale.clone() + shift.clone());
        let made = activate(input, &scale, &shift);
        assert_eq!(made.dtype(), DType::F16);
        assert_eq!(far(made, wide(whole.cast(DType::F16))), 0.0);
    }

    #[test]
    fn pieces_are_whole_rows_that_divide_the_height() {
        let pieces =
            [(1024, 1024), (512, 512), (32, 32), (23, 4096), (6, 20000), (1, 1)].map(|(height, width)| piece(height, width));
        assert_eq!(pieces, [16, 32, 32, 1, 1, 1]);
    }
}
