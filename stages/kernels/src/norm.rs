//! The norm's sums and gradient, plane by plane; a norm over groups or batches adds up the planes' sums. The forward pass
//! needs no kernel: the affine of a [`crate::View`] applies it.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{ROW, sum, sum_of, sum_of_pairs};
use crate::{Activation, Area, Element};

/// For each sample and channel, the mean and the sum of squared deviations from it, in two passes (the second corrected for
/// the mean's rounding: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, equation 1.7).
///
/// `x` is `[batch, channels, height, width]`, `out` holds `[mean, sum of squares]` of each plane.
///
/// # Panics
/// When the length of `x` isn't that of `out.len()` planes, or planes are empty.
pub fn moments<E: Element>(x: &[E], area: Area, out: &mut [[f64; 2]]) {
    assert_eq!(x.len(), out.len() * area.pixels(), "the map's size");
    out.par_iter_mut().zip(x.par_chunks(area.pixels())).for_each(|(out, x)| {
        *out = widest(Moments { x });
    });
}

struct Moments<'a, E> {
    x: &'a [E],
}

impl<E: Element> Kernel for Moments<'_, E> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> [f64; 2] {
        let Self { x } = self;
        let mut row = [0.0; ROW];
        let count = x.len() as f64;
        let mut total = 0.0;
        for part in x.chunks(ROW) {
            let row = &mut row[..part.len()];
            E::widen(part, row);
            total += sum(row);
        }
        let center = (total / count) as f32;
        let (mut deviation, mut squares) = (0.0, 0.0);
        for part in x.chunks(ROW) {
            let row = &mut row[..part.len()];
            E::widen(part, row);
            deviation += sum_of(row, |value| value - center);
            squares += sum_of(row, |value| (value - center) * (value - center));
        }
        [f64::from(center) + deviation / count, (squares - deviation * deviation / count).max(0.0)]
    }
}

/// For each sample and channel `[sum g, sum g (x - mean)]`, from which the gradients of a norm are computed. `g` is the
/// gradient of the activation's input: `upstream` where `scale * x + shift > 0`, elsewhere `upstream` times 0 for
/// [`Activation::Relu`], the slope for [`Activation::LeakyRelu`] and 1 for [`Activation::Identity`].
///
/// `x` and `upstream` are `[batch, channels, height, width]`; `affine` (`[scale, shift]`), `means` and `out` have one value
/// per plane.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn norm_sums<E: Element>(
    x: &[E],
    upstream: &[E],
    affine: &[[f32; 2]],
    activation: Activation,
    means: &[f32],
    area: Area,
    out: &mut [[f64; 2]],
) {
    let pixels = area.pixels();
    assert_eq!([x.len(), upstream.len()], [out.len() * pixels; 2], "the maps' sizes");
    assert_eq!([affine.len(), means.len()], [out.len(); 2], "an affine and a mean for each plane");
    out.par_iter_mut().enumerate().for_each(|(index, out)| {
        let (x, upstream) = (&x[index * pixels..][..pixels], &upstream[index * pixels..][..pixels]);
        *out = widest(Sums { x, upstream, affine: affine[index], activation, mean: means[index] });
    });
}

struct Sums<'a, E> {
    x: &'a [E],
    upstream: &'a [E],
    affine: [f32; 2],
    activation: Activation,
    mean: f32,
}

impl<E: Element> Kernel for Sums<'_, E> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> [f64; 2] {
        let Self { x, upstream, affine: [scale, shift], activation, mean } = self;
        let (mut values, mut from, mut gradient) = ([0.0; ROW], [0.0; ROW], [0.0; ROW]);
        let (mut plain, mut along) = (0.0, 0.0);
        for (x, upstream) in x.chunks(ROW).zip(upstream.chunks(ROW)) {
            let (values, from, gradient) = (&mut values[..x.len()], &mut from[..x.len()], &mut gradient[..x.len()]);
            E::widen(x, values);
            E::widen(upstream, from);
            // Uses a separate buffer, since masked writes to the upstream would be slow.
            activation.gradient(values, |x| scale * x + shift, from, gradient);
            plain += sum(gradient);
            along += sum_of_pairs(gradient, values, |g, x| g * (x - mean));
        }
        [plain, along]
    }
}

/// The gradient of the norm's input, written over `upstream`: `factor * g - (x - mean) * along - constant`, with
/// `[factor, along, constant]` of each plane in `coefficients` and `g` as in [`norm_sums`].
///
/// A norm with variance `v` over `n` values and weight `w` has `factor = w / sqrt(v + eps)`, and with the sums of
/// [`norm_sums`] over those values `along = factor * sum(g (x - mean)) / (n (v + eps))` and `constant = factor * sum(g) / n`
/// (Ioffe and Szegedy, "Batch Normalization", 2015, section 3).
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn norm_input_gradient<E: Element>(
    x: &[E],
    upstream: &mut [E],
    affine: &[[f32; 2]],
    activation: Activation,
    means: &[f32],
    coefficients: &[[f32; 3]],
    area: Area,
) {
    let pixels = area.pixels();
    assert_eq!([x.len(), upstream.len()], [means.len() * pixels; 2], "the maps' sizes");
    assert_eq!([affine.len(), coefficients.len()], [means.len(); 2], "an affine and coefficients for each plane");
    upstream.par_chunks_mut(pixels).zip(x.par_chunks(pixels)).enumerate().for_each(|(index, (upstream, x))| {
        let (affine, mean, coefficients) = (affine[index], means[index], coefficients[index]);
        widest(Gradient { x, upstream, affine, activation, mean, coefficients });
    });
}

struct Gradient<'a, E> {
    x: &'a [E],
    upstream: &'a mut [E],
    affine: [f32; 2],
    activation: Activation,
    mean: f32,
    coefficients: [f32; 3],
}

impl<E: Element> Kernel for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { x, upstream, affine: [scale, shift], activation, mean, coefficients } = self;
        let [factor, along, constant] = coefficients;
        let (mut values, mut from, mut gradient) = ([0.0; ROW], [0.0; ROW], [0.0; ROW]);
        for (x, upstream) in x.chunks(ROW).zip(upstream.chunks_mut(ROW)) {
            let (values, from, gradient) = (&mut values[..x.len()], &mut from[..x.len()], &mut gradient[..x.len()]);
            E::widen(x, values);
            E::widen(upstream, from);
            // Uses a separate buffer, since masked writes to the upstream would be slow.
            activation.gradient(values, |x| scale * x + shift, from, gradient);
            for (g, x) in gradient.iter_mut().zip(&*values) {
                *g = factor * *g - (x - mean) * along - constant;
            }
            E::narrow(gradient, upstream);
        }
    }
}
