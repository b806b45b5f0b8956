//! The head: a 1x1 convolution with bias and few outputs. Its output, the logits, and their gradient are always float32.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{Plane, ROW, check, sum, sum_of_pairs};
use crate::{Area, Element, View};

/// Pixels per task.
const PART: usize = 8 * ROW;

/// `out[o, y, x] = bias[o] + sum_c weight[o, c] * in[c, y, x]`, as torch.nn.Conv2d of kernel 1.
///
/// `weight` is `[outputs, inputs]`, `bias` `[outputs]`, `out` `[batch, outputs, height, width]`.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn pointwise<E: Element>(input: View<'_, E>, weight: &[f32], bias: &[f32], area: Area, out: &mut [f32]) {
    let (inputs, outputs, pixels) = (input.channels, bias.len(), area.pixels());
    check(&input, area);
    assert_eq!(weight.len(), inputs * outputs, "the weight's size");
    assert_eq!(out.len(), area.values(outputs), "the output's size");
    out.par_chunks_mut(pixels).enumerate().for_each(|(index, out)| {
        let (sample, output) = (index / outputs, index % outputs);
        let weight = &weight[output * inputs..][..inputs];
        out.par_chunks_mut(PART).enumerate().for_each(|(part, out)| {
            let (first, start) = (sample * inputs, part * PART);
            widest(Forward { input: &input, weight, bias: bias[output], first, pixels, start, out });
        });
    });
}

struct Forward<'a, E> {
    input: &'a View<'a, E>,
    weight: &'a [f32],
    bias: f32,
    /// The sample's first plane.
    first: usize,
    pixels: usize,
    /// The first pixel of `out`.
    start: usize,
    out: &'a mut [f32],
}

impl<E: Element> Kernel for Forward<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { input, weight, bias, first, pixels, start, out } = self;
        let mut row = [0.0; ROW];
        for (part, out) in out.chunks_mut(ROW).enumerate() {
            let row = &mut row[..out.len()];
            out.fill(bias);
            for (channel, weight) in weight.iter().enumerate() {
                Plane::of(input, first + channel, pixels).read(start + part * ROW, row);
                add_scaled(out, *weight, row);
            }
        }
    }
}

#[inline(always)]
fn add_scaled(out: &mut [f32], factor: f32, row: &[f32]) {
    for (out, value) in out.iter_mut().zip(row) {
        *out += factor * value;
    }
}

/// Overwrites `out` with the gradient of the input: `out[c, y, x] = sum_o weight[o, c] * upstream[o, y, x]`.
///
/// `upstream` is `[batch, outputs, height, width]`, `weight` `[outputs, inputs]`, `out` `[batch, inputs, height, width]`.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn pointwise_input_gradient<E: Element>(
    upstream: &[f32],
    weight: &[f32],
    inputs: usize,
    outputs: usize,
    area: Area,
    out: &mut [E],
) {
    let pixels = area.pixels();
    assert_eq!(upstream.len(), area.values(outputs), "the upstream's size");
    assert_eq!(weight.len(), inputs * outputs, "the weight's size");
    assert_eq!(out.len(), area.values(inputs), "the gradient's size");
    out.par_chunks_mut(pixels).enumerate().for_each(|(index, out)| {
        let (sample, channel) = (index / inputs, index % inputs);
        let upstream = &upstream[sample * outputs * pixels..][..outputs * pixels];
        widest(InputGradient { upstream, weight, channel, inputs, out });
    });
}

struct InputGradient<'a, E> {
    upstream: &'a [f32],
    weight: &'a [f32],
    channel: usize,
    inputs: usize,
    out: &'a mut [E],
}

impl<E: Element> Kernel for InputGradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { upstream, weight, channel, inputs, out } = self;
        let (mut row, pixels) = ([0.0; ROW], out.len());
        for (part, out) in out.chunks_mut(ROW).enumerate() {
            let row = &mut row[..out.len()];
            row.fill(0.0);
            for (upstream, weight) in upstream.chunks(pixels).zip(weight.chunks(inputs)) {
                add_scaled(row, weight[channel], &upstream[part * ROW..][..row.len()]);
            }
            E::narrow(row, out);
        }
    }
}

/// Adds the gradients of weight and bias: `weight[o, c] += sum upstream[o, y, x] * in[c, y, x]` and
/// `bias[o] += sum upstream[o, y, x]`, over samples and pixels.
///
/// `upstream` is `[batch, outputs, height, width]`, `weight` `[outputs, inputs]`, `bias` `[outputs]`.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn pointwise_weight_gradient<E: Element>(
    input: View<'_, E>,
    upstream: &[f32],
    outputs: usize,
    area: Area,
    weight: &mut [f32],
    bias: &mut [f32],
) {
    let (inputs, pixels) = (input.channels, area.pixels());
    check(&input, area);
    assert_eq!(upstream.len(), area.values(outputs), "the upstream's size");
    assert_eq!([weight.len(), bias.len()], [inputs * outputs, outputs], "the sizes of weight and bias");
    for output in 0..outputs {
        let planes = || (0..area.batch).map(|sample| &upstream[(sample * outputs + output) * pixels..][..pixels]);
        bias[output] += planes().map(|plane| plane.chunks(ROW).map(sum).sum::<f64>()).sum::<f64>() as f32;
        weight[output * inputs..][..inputs].par_iter_mut().enumerate().for_each(|(channel, weight)| {
            let products = planes().enumerate().map(|(sample, upstream)| {
                let plane = Plane::of(&input, sample * inputs + channel, pixels);
                widest(Product { plane, upstream })
            });
            *weight += products.sum::<f64>() as f32;
        });
    }
}

struct Product<'a, E> {
    plane: Plane<'a, E>,
    upstream: &'a [f32],
}

impl<E: Element> Kernel for Product<'_, E> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let Self { plane, upstream } = self;
        let (mut row, mut total) = ([0.0; ROW], 0.0);
        for (part, upstream) in upstream.chunks(ROW).enumerate() {
            let row = &mut row[..upstream.len()];
            plane.read(part * ROW, row);
            total += sum_of_pairs(row, upstream, |value, g| value * g);
        }
        total
    }
}
