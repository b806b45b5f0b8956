//! Convolutions of half-precision maps computed in float32, as on the CPU. The library's direct kernel sums in the type of the
//! maps, so 11 bits would have to hold the sum of the products over a thousand channels.

use burn::tensor::Tensor;
use burn::tensor::module::conv2d;

use super::tensors::{same, wide};

/// Maximum float32 values per band of rows, unless a single row has more.
const BAND: usize = 1 << 21;

/// Makes maps of the given shape one band of rows at a time: `make` gets the first row and the row after the last. `channels` is
/// the number of channels held in float32 meanwhile.
fn banded(shape: [usize; 4], channels: usize, like: &Tensor<4>, make: impl Fn(usize, usize) -> Tensor<4>) -> Tensor<4> {
    let [batch, outputs, height, width] = shape;
    let rows = (BAND / (batch * channels * width).max(1)).clamp(1, height.max(1));
    if rows == height {
        return make(0, height).cast(like.dtype());
    }
    // Channels last in memory, as convolutions return it.
    let output = Tensor::empty([batch, height, width, outputs], (&like.device(), like.dtype()));
    let mut output = output.permute([0, 3, 1, 2]);
    for top in (0..height).step_by(rows) {
        let bottom = (top + rows).min(height);
        let made = make(top, bottom).cast(like.dtype());
        output.inplace(|output| output.slice_assign([0..batch, 0..outputs, top..bottom, 0..width], made));
    }
    output
}

/// The rows from `top` to before `bottom` of maps, in float32.
fn rows(maps: &Tensor<4>, top: usize, bottom: usize) -> Tensor<4> {
    let [_, _, height, _] = maps.dims();
    wide(if bottom - top == height { maps.clone() } else { maps.clone().narrow(2, top, bottom - top) })
}

/// A 3 x 3 convolution, computed in float32 one band of rows at a time: from maps `[batch, inputs, height, width]` and weights
/// `[outputs, inputs, 3, 3]` in float32 to `[batch, outputs, height, width]` in the maps' type.
pub(super) fn convolve(input: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
    let [batch, inputs, height, width] = input.dims();
    let [outputs, ..] = weight.dims();
    banded([batch, outputs, height, width], inputs.max(outputs), &input, |top, bottom| {
        // Includes the rows above and below that the band's own rows read.
        let (above, below) = (top.min(1), (height - bottom).min(1));
        let made = conv2d(rows(&input, top - above, bottom + below), weight.clone(), None, same());
        if above + below == 0 { made } else { made.narrow(2, above, bottom - top) }
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use burn::tensor::{DType, Device, Distribution};

    use super::*;

    fn far(left: Tensor<4>, right: Tensor<4>) -> f64 {
        assert_eq!(left.dims(), right.dims());
        let values = |tensor: Tensor<4>| wide(tensor).try_into_vec_as::<f32>().unwrap();
        let (left, right) = (values(left), values(right));
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        norm(&mut left.iter().zip(&right).map(|(a, b)| f64::from(a - b))) / norm(&mut right.iter().map(|b| f64::from(*b)))
    }

    /// Compares with the library's kernel in float32, on the very values that the maps hold in half precision. The heights give
    /// one band or several, with a smaller last one.
    #[test]
    fn bands_change_nothing_but_rounding() {
        let device = Device::flex();
        for [batch, inputs, outputs, height, width] in [[2, 3, 4, 8, 6], [1, 8, 5, 23, 4096], [1, 2, 3, 6, 20000]] {
            let random = |shape, low| Tensor::<4>::random(shape, Distribution::Uniform(low, 1.0), &device).cast(DType::F16);
            // Activations are never negative.
            let input = random([batch, inputs, height, width], 0.0);
            let weight = wide(random([outputs, inputs, 3, 3], -1.0));
            let forward = conv2d(wide(input.clone()), weight.clone(), None, same());
            assert!(far(convolve(input, weight), forward) < 5e-4, "{height} x {width}");
        }
    }
}
