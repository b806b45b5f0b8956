//! Convolutions: forward and both gradients.

mod correlate;
mod each;
mod epilogue;
mod geometry;
mod lanes;
mod load;
mod microkernel;
mod pack;
mod products;
mod run;
mod sizes;
mod taps;
#[cfg(test)]
mod tests;
mod tile;
mod weights;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use geometry::{ConvolutionShape, Geometry};

use crate::rows::check;
use crate::{Activation, Element, View};
use epilogue::Epilogue;
use pack::Kernels;
use std::ops::Range;
use taps::Pattern;

/// Number of workspace values that [`convolve`] needs with the current number of rayon threads.
///
/// # Panics
/// When the geometry isn't supported, or the stride is 2 and the area's height or width odd.
pub fn convolve_workspace(shape: ConvolutionShape) -> usize {
    forward(shape).workspace()
}

/// Number of workspace values that [`convolve_input_gradient`] needs for `wanted` inputs with the current number of rayon
/// threads.
///
/// # Panics
/// When the geometry isn't supported, or the stride is 2 and the area's height or width odd.
pub fn convolve_input_gradient_workspace(shape: ConvolutionShape, wanted: usize) -> usize {
    backward(shape, wanted).workspace()
}

/// Number of workspace values that [`convolve_weight_gradient`] needs with the current number of rayon threads.
///
/// # Panics
/// When the geometry isn't supported, or the stride is 2 and the area's height or width odd.
pub fn convolve_weight_gradient_workspace(shape: ConvolutionShape) -> usize {
    weights(shape).workspace()
}

fn forward(shape: ConvolutionShape) -> correlate::Plan {
    let area = shape.output();
    correlate::Plan::new(Pattern::forward(shape.geometry), shape.inputs, shape.outputs, area)
}

fn backward(shape: ConvolutionShape, wanted: usize) -> correlate::Plan {
    let area = shape.output();
    correlate::Plan::new(Pattern::backward(shape.geometry), shape.outputs, wanted, area)
}

fn weights(shape: ConvolutionShape) -> weights::Plan {
    let area = shape.output();
    weights::Plan::new(Pattern::forward(shape.geometry), shape.inputs, shape.outputs, area)
}

/// The convolution, as torch.nn.Conv2d. `x` is the inputs concatenated along channels, each read as its view says, and zero
/// outside; `s` is the stride, `d` the dilation and `p` the padding of the geometry:
///
/// `sum[b, o, y, x] = bias[o] + sum over i, ky, kx of weight[o, i, ky, kx] * x[b, i, s y + d ky - p, s x + d kx - p]`
///
/// `out = activation(sum)`, applied before rounding. `weight` is `[outputs, inputs, size, size]`, `bias` `[outputs]`; `out`,
/// `[batch, outputs, height / s, width / s]`, is fully overwritten. The contents of `workspace` don't matter and are
/// overwritten.
///
/// # Panics
/// When a slice's length doesn't fit the shapes, the geometry isn't supported, the stride is 2 and the area's height or
/// width odd, or the workspace has fewer than [`convolve_workspace`] values.
pub fn convolve<E: Element>(
    shape: ConvolutionShape,
    inputs: &[View<'_, E>],
    weight: &[f32],
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [E],
    workspace: &mut [f32],
) {
    check_inputs(shape, inputs);
    let ConvolutionShape { geometry, inputs: channels, outputs, .. } = shape;
    assert_eq!(weight.len(), shape.weights(), "the weights' shape");
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "a bias for each output");
    assert_eq!(out.len(), shape.output().values(outputs), "the output's shape");
    let kernels = Kernels { weights: weight, output_step: channels, input_step: 1, size: geometry.taps() };
    correlate::correlate(&forward(shape), inputs, kernels, outputs, Epilogue { bias, activation }, out, workspace);
}

/// The gradient of a range of the input channels of a convolution with stride `s`, dilation `d` and padding `p`:
///
/// `out[b, i, y, x] = sum over o, ky, kx of weight[o, wanted.start + i, ky, kx] * upstream[b, o, (y + p - d ky) / s,
/// (x + p - d kx) / s]`, over those `ky` and `kx` for which both quotients are whole
///
/// `weight` is `[outputs, inputs, size, size]` for all the `inputs`; `upstream`, `[batch, outputs, height / s, width / s]`,
/// is the gradient of the sum before the activation. It is read as it is, and as zero outside. `out`,
/// `[batch, wanted.len(), height, width]`, is fully overwritten. The contents of `workspace` don't matter and are
/// overwritten.
///
/// # Panics
/// As [`convolve`], or when the range isn't within the inputs; the workspace must have [`convolve_input_gradient_workspace`]
/// values.
pub fn convolve_input_gradient<E: Element>(
    shape: ConvolutionShape,
    upstream: &[E],
    weight: &[f32],
    wanted: Range<usize>,
    out: &mut [E],
    workspace: &mut [f32],
) {
    let ConvolutionShape { geometry, inputs, outputs, area } = shape;
    let upstream = View::plain(upstream, outputs);
    check(&upstream, shape.output());
    assert_eq!(weight.len(), shape.weights(), "the weights' shape");
    assert!(wanted.start <= wanted.end && wanted.end <= inputs, "the wanted inputs {wanted:?} of {inputs}");
    assert_eq!(out.len(), area.values(wanted.len()), "the output's shape");
    let first = wanted.start * geometry.taps();
    let kernels = Kernels { weights: &weight[first..], output_step: 1, input_step: inputs, size: geometry.taps() };
    let plan = backward(shape, wanted.len());
    correlate::correlate(&plan, &[upstream], kernels, wanted.len(), Epilogue::NONE, out, workspace);
}

/// Adds the gradient of the weights to `gradient`, `[outputs, inputs, size, size]`. With `x`, `s`, `d` and `p` as in
/// [`convolve`]:
///
/// `gradient[o, i, ky, kx] += sum over b, y, x of upstream[b, o, y, x] * x[b, i, s y + d ky - p, s x + d kx - p]`
///
/// `upstream`, `[batch, outputs, height / s, width / s]`, is the gradient of the sum before the activation, and is read as
/// it is. The contents of `workspace` don't matter and are overwritten.
///
/// # Panics
/// As [`convolve`]; the workspace must have [`convolve_weight_gradient_workspace`] values.
pub fn convolve_weight_gradient<E: Element>(
    shape: ConvolutionShape,
    inputs: &[View<'_, E>],
    upstream: &[E],
    gradient: &mut [f32],
    workspace: &mut [f32],
) {
    check_inputs(shape, inputs);
    let upstream = View::plain(upstream, shape.outputs);
    check(&upstream, shape.output());
    assert_eq!(gradient.len(), shape.weights(), "the weights' shape");
    weights::weight_gradient(&weights(shape), inputs, &upstream, gradient, workspace);
}

fn check_inputs<E>(shape: ConvolutionShape, inputs: &[View<'_, E>]) {
    inputs.iter().for_each(|view| check(view, shape.area));
    assert_eq!(inputs.iter().map(|view| view.channels).sum::<usize>(), shape.inputs, "the inputs' channels");
}
