//! The 3x3 convolution (stride 1, padding 1, no bias): forward, and the gradients of its weight and its input.
//! Two algorithms give the same figures up to rounding: the device's own, and nine matrix products for the CPU.

use burn::tensor::module::{conv2d, conv2d_weight_backward};
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Tensor};

use super::{Gradients, Init, Layout, State};

/// How convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// The backend's kernels.
    Native,
    /// Nine matrix products on views of the zero-padded image. On burn's CPU backend this is 2 times faster forward and
    /// 5 to 20 times backward (its weight gradient is a convolution with a kernel of the image's size).
    Products,
}

impl Algorithm {
    /// The faster one on a device.
    pub fn of(device: &Device) -> Self {
        if crate::device::is_cpu(device) { Self::Products } else { Self::Native }
    }
}

/// Below this many input channels a matrix product is mostly overhead, and the backend's direct convolution is faster.
const FEW_CHANNELS: usize = 8;

/// A 3x3 convolution without bias, stride 1, padding 1.
#[derive(Debug, Clone)]
pub(crate) struct Convolution {
    weight: usize,
    inputs: usize,
    outputs: usize,
}

impl Convolution {
    pub(crate) fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform { fan_in: inputs * 9 };
        Self { weight: layout.trained(format!("{name}.weight"), &[outputs, inputs, 3, 3], init), inputs, outputs }
    }

    fn kernel(&self, state: &State) -> Tensor<4> {
        state.view(self.weight, [self.outputs, self.inputs, 3, 3])
    }

    /// `[batch, inputs, height, width]` to `[batch, outputs, height, width]`.
    pub(crate) fn forward(&self, state: &State, x: Tensor<4>) -> Tensor<4> {
        let kernel = self.kernel(state);
        match state.algorithm {
            Algorithm::Products if self.inputs >= FEW_CHANNELS => Padded::new(x).convolve(&taps(kernel)),
            _ => conv2d(x, kernel, None, same()),
        }
    }

    /// Sets the weight's gradient and gives the input's, `None` unless `input` asks for it.
    pub(crate) fn backward(
        &self,
        state: &State,
        x: Tensor<4>,
        upstream: Tensor<4>,
        gradients: &mut Gradients,
        input: bool,
    ) -> Option<Tensor<4>> {
        let kernel = self.kernel(state);
        match state.algorithm {
            Algorithm::Products => {
                let upstream = Padded::new(upstream);
                gradients.set(self.weight, Padded::new(x).correlate(&upstream));
                // The gradient of the input is a convolution with the kernel turned by 180 degrees and transposed.
                let turned = || taps(kernel).into_iter().rev().map(Tensor::transpose).collect::<Vec<_>>();
                input.then(|| upstream.convolve(&turned()))
            }
            Algorithm::Native => {
                gradients.set(self.weight, conv2d_weight_backward(x, kernel.clone(), upstream.clone(), same()));
                input.then(|| conv2d(upstream, kernel.swap_dims(0, 1).flip([2, 3]), None, same()))
            }
        }
    }
}

fn same() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

/// The nine `[outputs, inputs]` matrices of a `[outputs, inputs, 3, 3]` kernel, row by row.
fn taps(kernel: Tensor<4>) -> Vec<Tensor<2>> {
    let [outputs, inputs, _, _] = kernel.dims();
    let taps = kernel.permute([2, 3, 0, 1]).reshape([9, outputs, inputs]);
    (0..9).map(|tap| taps.clone().narrow(0, tap, 1).reshape([outputs, inputs])).collect()
}

/// Images with a border of zeros, each channel flat. In rows of `width + 2`, a shift by (dy, dx) is an offset of
/// `dy * (width + 2) + dx`, so each of the nine shifted images is a view; two columns of every row are waste.
struct Padded {
    images: Tensor<3>,
    height: usize,
    width: usize,
}

impl Padded {
    fn new(x: Tensor<4>) -> Self {
        let [batch, channels, height, width] = x.dims();
        // A second row below, so that the last shift stays inside.
        let images = x.pad((1, 1, 1, 2), PadMode::Constant(0.0)).reshape([batch, channels, (height + 3) * (width + 2)]);
        Self { images, height, width }
    }

    /// The shifted image of a tap, `[channels, height * (width + 2)]`; tap 4 is the image itself, its waste zero.
    fn shifted(&self, sample: usize, tap: usize) -> Tensor<2> {
        let [_, channels, length] = self.images.dims();
        let row = self.width + 2;
        let start = tap / 3 * row + tap % 3;
        let image = self.images.clone().narrow(0, sample, 1).reshape([channels, length]);
        image.slice([0..channels, start..start + self.height * row])
    }

    /// The convolution: the sum over the taps of matrix times shifted image.
    fn convolve(&self, taps: &[Tensor<2>]) -> Tensor<4> {
        let (row, [batch, _, _]) = (self.width + 2, self.images.dims());
        let outputs = taps[0].dims()[0];
        let sample = |sample: usize| {
            let products = taps.iter().enumerate().map(|(tap, matrix)| matrix.clone().matmul(self.shifted(sample, tap)));
            let sum = products.reduce(|sum, product| sum + product).unwrap_or_else(|| self.shifted(sample, 4));
            sum.reshape([1, outputs, self.height, row])
        };
        let whole = Tensor::cat((0..batch).map(sample).collect(), 0);
        // The reshape drops the waste by copying; later views of it are free.
        let whole = whole.slice([0..batch, 0..outputs, 0..self.height, 0..self.width]);
        whole.reshape([batch * outputs, self.height * self.width]).reshape([batch, outputs, self.height, self.width])
    }

    /// The weight's gradient `[outputs, inputs, 3, 3]`: upstream times each shifted image, summed over the samples.
    fn correlate(&self, upstream: &Self) -> Tensor<4> {
        let [batch, inputs, _] = self.images.dims();
        let outputs = upstream.images.dims()[1];
        let tap = |tap: usize| {
            let sample = |sample: usize| {
                let (image, upstream) = (self.shifted(sample, tap), upstream.shifted(sample, 4));
                // The matrix product is several times faster with the longer side first.
                if outputs >= inputs {
                    upstream.matmul(image.transpose())
                } else {
                    image.matmul(upstream.transpose()).transpose()
                }
            };
            let first = sample(0);
            (1..batch).map(sample).fold(first, |sum, product| sum + product).reshape([outputs, inputs, 1])
        };
        Tensor::cat((0..9).map(tap).collect(), 2).reshape([outputs, inputs, 3, 3])
    }
}
