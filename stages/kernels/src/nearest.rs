//! Nearest-neighbour upsampling by 2, and its gradient.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{Plane, ROW, check};
use crate::{Area, Element, View};

/// `out[c, y, x] = in[c, y / 2, x / 2]`, as torch.nn.Upsample(scale_factor=2, mode="nearest").
///
/// `area` is the input's area; `out` is `[batch, channels, 2 height, 2 width]`.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn upsample_nearest<E: Element>(input: View<'_, E>, area: Area, out: &mut [E]) {
    check(&input, area);
    assert_eq!(out.len(), 4 * input.values.len(), "the output's size");
    out.par_chunks_mut(4 * area.pixels()).enumerate().for_each(|(index, out)| {
        widest(Repeat { input: Plane::of(&input, index, area.pixels()), width: area.width, out });
    });
}

struct Repeat<'a, E> {
    input: Plane<'a, E>,
    width: usize,
    out: &'a mut [E],
}

impl<E: Element> Kernel for Repeat<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { input, width, out } = self;
        let (mut row, mut twice) = ([0.0; ROW], [0.0; 2 * ROW]);
        for (y, out) in out.chunks_mut(4 * width).enumerate() {
            let (upper, lower) = out.split_at_mut(2 * width);
            for (part, upper) in upper.chunks_mut(2 * ROW).enumerate() {
                let (row, twice) = (&mut row[..upper.len() / 2], &mut twice[..upper.len()]);
                input.read(y * width + part * ROW, row);
                for (pair, value) in twice.as_chunks_mut::<2>().0.iter_mut().zip(&*row) {
                    *pair = [*value; 2];
                }
                E::narrow(twice, upper);
            }
            lower.copy_from_slice(upper);
        }
    }
}

/// Overwrites `out` with the gradient of the input: the sum of each pixel's four upstream values.
///
/// `area` is the input's area; `upstream` is `[batch, channels, 2 height, 2 width]`, `out`
/// `[batch, channels, height, width]`.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn upsample_nearest_gradient<E: Element>(upstream: &[E], area: Area, out: &mut [E]) {
    assert_eq!(upstream.len(), 4 * out.len(), "the upstream's size");
    assert!(out.len().is_multiple_of(area.values(1)), "the gradient's size");
    out.par_chunks_mut(area.pixels()).zip(upstream.par_chunks(4 * area.pixels())).for_each(|(out, upstream)| {
        widest(Gather { upstream, width: area.width, out });
    });
}

struct Gather<'a, E> {
    upstream: &'a [E],
    width: usize,
    out: &'a mut [E],
}

impl<E: Element> Kernel for Gather<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { upstream, width, out } = self;
        let (mut row, mut above, mut below) = ([0.0; ROW], [0.0; 2 * ROW], [0.0; 2 * ROW]);
        for (upstream, out) in upstream.chunks(4 * width).zip(out.chunks_mut(width)) {
            let (upper, lower) = upstream.split_at(2 * width);
            let parts = upper.chunks(2 * ROW).zip(lower.chunks(2 * ROW));
            for ((upper, lower), out) in parts.zip(out.chunks_mut(ROW)) {
                let (above, below) = (&mut above[..upper.len()], &mut below[..lower.len()]);
                E::widen(upper, above);
                E::widen(lower, below);
                let row = &mut row[..out.len()];
                let pairs = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
                for (sum, ([a, b], [c, d])) in row.iter_mut().zip(pairs) {
                    *sum = (a + b) + (c + d);
                }
                E::narrow(row, out);
            }
        }
    }
}
