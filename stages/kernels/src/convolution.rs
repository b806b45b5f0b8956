//! The 3x3 convolution of stride 1 with one pixel of zeros around, without a bias: forward and both gradients.

mod correlate;
mod lanes;
#[cfg(test)]
mod tests;
mod tile;
mod weights;

use crate::{Area, Element, View};
use correlate::Taps;
use std::ops::Range;

/// Values of workspace that [`convolve`] needs on the current number of rayon threads.
pub fn convolve_workspace(inputs: usize, outputs: usize, area: Area) -> usize {
    correlate::Plan::new(inputs, outputs, area).workspace()
}

/// Values of workspace that [`convolve_input_gradient`] needs, for so many wanted inputs, on the current number of rayon
/// threads.
pub fn convolve_input_gradient_workspace(outputs: usize, wanted: usize, area: Area) -> usize {
    correlate::Plan::new(outputs, wanted, area).workspace()
}

/// Values of workspace that [`convolve_weight_gradient`] needs on the current number of rayon threads.
pub fn convolve_weight_gradient_workspace(inputs: usize, outputs: usize, area: Area) -> usize {
    weights::Plan::new(inputs, outputs, area).workspace()
}

/// The convolution. With `x` the inputs one after the other along channels, each as its view reads it, and zero outside:
///
/// `out[b, o, y, x] = sum over i, ky, kx of weight[o, i, ky, kx] * x[b, i, y + ky - 1, x + kx - 1]`
///
/// `weight` is `[outputs, inputs, 3, 3]`; `out`, `[batch, outputs, height, width]`, is fully overwritten. What is in
/// `workspace` doesn't matter, and is overwritten.
///
/// # Panics
/// When a slice's length doesn't fit the shapes, or the workspace has fewer than [`convolve_workspace`] values.
pub fn convolve<E: Element>(
    inputs: &[View<'_, E>],
    weight: &[f32],
    outputs: usize,
    area: Area,
    out: &mut [E],
    workspace: &mut [f32],
) {
    let channels = check(inputs, area);
    assert_eq!(weight.len(), outputs * channels * 9, "the weights' shape");
    assert_eq!(out.len(), area.values(outputs), "the output's shape");
    let taps = Taps { kernels: weight.as_chunks().0, output_step: channels, input_step: 1, turned: false };
    correlate::correlate(inputs, taps, outputs, area, out, workspace);
}

/// The gradient of a range of the convolution's input channels:
///
/// `out[b, i, y, x] = sum over o, ky, kx of weight[o, wanted.start + i, ky, kx] * upstream[b, o, y - ky + 1, x - kx + 1]`
///
/// `weight` is `[outputs, inputs, 3, 3]` for all the `inputs`; `upstream`, `[batch, outputs, height, width]`, is read as it
/// is, and zero outside; `out`, `[batch, wanted.len(), height, width]`, is fully overwritten. What is in `workspace` doesn't
/// matter, and is overwritten.
///
/// # Panics
/// When a slice's length doesn't fit the shapes, the range isn't within the inputs, or the workspace has fewer than
/// [`convolve_input_gradient_workspace`] values.
#[allow(clippy::too_many_arguments, reason = "a plain function over slices: shapes beside them")]
pub fn convolve_input_gradient<E: Element>(
    upstream: &[E],
    weight: &[f32],
    outputs: usize,
    inputs: usize,
    wanted: Range<usize>,
    area: Area,
    out: &mut [E],
    workspace: &mut [f32],
) {
    let upstream = View::plain(upstream, outputs);
    check(&[upstream], area);
    assert_eq!(weight.len(), outputs * inputs * 9, "the weights' shape");
    assert!(wanted.start <= wanted.end && wanted.end <= inputs, "the wanted inputs {wanted:?} of {inputs}");
    assert_eq!(out.len(), area.values(wanted.len()), "the output's shape");
    let taps = Taps { kernels: &weight.as_chunks().0[wanted.start..], output_step: 1, input_step: inputs, turned: true };
    correlate::correlate(&[upstream], taps, wanted.len(), area, out, workspace);
}

/// Adds the gradient of the weights to `gradient`, `[outputs, inputs, 3, 3]`. With `x` the inputs as in [`convolve`]:
///
/// `gradient[o, i, ky, kx] += sum over b, y, x of upstream[b, o, y, x] * x[b, i, y + ky - 1, x + kx - 1]`
///
/// `upstream`, `[batch, outputs, height, width]`, is read as it is. What is in `workspace` doesn't matter, and is
/// overwritten.
///
/// # Panics
/// When a slice's length doesn't fit the shapes, or the workspace has fewer than [`convolve_weight_gradient_workspace`]
/// values.
pub fn convolve_weight_gradient<E: Element>(
    inputs: &[View<'_, E>],
    upstream: &[E],
    outputs: usize,
    area: Area,
    gradient: &mut [f32],
    workspace: &mut [f32],
) {
    let channels = check(inputs, area);
    let upstream = View::plain(upstream, outputs);
    check(&[upstream], area);
    assert_eq!(gradient.len(), outputs * channels * 9, "the weights' shape");
    weights::weight_gradient(inputs, &upstream, area, gradient, workspace);
}

/// The number of channels of all views.
fn check<E>(inputs: &[View<'_, E>], area: Area) -> usize {
    for view in inputs {
        assert_eq!(view.values.len(), area.values(view.channels), "a map's shape");
        if let Some(affine) = view.affine {
            assert_eq!(affine.len(), area.batch * view.channels, "one scale and shift for each sample and channel");
        }
    }
    inputs.iter().map(|view| view.channels).sum()
}
