//! 2x2 max pooling, and its gradient.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{Plane, ROW, check};
use crate::{Area, Element, View};

/// `out[c, y, x] = max(in[c, 2y..2y+2, 2x..2x+2])`, as torch.nn.MaxPool2d(2): NaN counts as the largest value.
///
/// `area` is the input's area; `out` is `[batch, channels, height / 2, width / 2]`.
///
/// # Panics
/// When sizes disagree, the height or width is odd, or planes are empty.
pub fn pool<E: Element>(input: View<'_, E>, area: Area, out: &mut [E]) {
    check(&input, area);
    assert!(area.height.is_multiple_of(2) && area.width.is_multiple_of(2), "even sides");
    assert_eq!(out.len() * 4, input.values.len(), "the output's size");
    out.par_chunks_mut(area.pixels() / 4).enumerate().for_each(|(index, out)| {
        widest(Pool { input: Plane::of(&input, index, area.pixels()), width: area.width, out });
    });
}

struct Pool<'a, E> {
    input: Plane<'a, E>,
    width: usize,
    out: &'a mut [E],
}

impl<E: Element> Kernel for Pool<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { input, width, out } = self;
        let (mut upper, mut lower, mut best) = ([0.0; ROW], [0.0; ROW], [0.0; ROW / 2]);
        for (y, out) in out.chunks_mut(width / 2).enumerate() {
            for (part, out) in out.chunks_mut(ROW / 2).enumerate() {
                let (start, count) = (2 * y * width + part * ROW, out.len());
                let (upper, lower, best) = (&mut upper[..2 * count], &mut lower[..2 * count], &mut best[..count]);
                input.read(start, upper);
                input.read(start + width, lower);
                let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
                for (best, ([a, b], [c, d])) in best.iter_mut().zip(pairs) {
                    *best = larger(larger(larger(*a, *b), *c), *d);
                }
                E::narrow(best, out);
            }
        }
    }
}

/// Whether a value replaces an earlier one: ties go to the first.
#[inline(always)]
fn replaces(new: f32, old: f32) -> bool {
    (new > old) | new.is_nan()
}

#[inline(always)]
fn larger(old: f32, new: f32) -> f32 {
    if replaces(new, old) { new } else { old }
}

/// Adds the gradient of the input to `gradient`: each window's upstream goes to its first maximum in row-major order, as in
/// torch.nn.MaxPool2d.
///
/// `area` is the input's area; `upstream` is `[batch, channels, height / 2, width / 2]`, `gradient` has the input's size.
///
/// # Panics
/// When sizes disagree, the height or width is odd, or planes are empty.
pub fn pool_gradient<E: Element>(input: View<'_, E>, upstream: &[E], area: Area, gradient: &mut [E]) {
    check(&input, area);
    assert!(area.height.is_multiple_of(2) && area.width.is_multiple_of(2), "even sides");
    assert_eq!([upstream.len() * 4, gradient.len()], [input.values.len(); 2], "the gradients' sizes");
    let pixels = area.pixels();
    gradient.par_chunks_mut(pixels).zip(upstream.par_chunks(pixels / 4)).enumerate().for_each(
        |(index, (gradient, upstream))| {
            widest(Gradient { input: Plane::of(&input, index, pixels), width: area.width, upstream, gradient });
        },
    );
}

struct Gradient<'a, E> {
    input: Plane<'a, E>,
    width: usize,
    upstream: &'a [E],
    gradient: &'a mut [E],
}

impl<E: Element> Kernel for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { input, width, upstream, gradient } = self;
        let (mut upper, mut lower, mut from) = ([0.0; ROW], [0.0; ROW], [0.0; ROW / 2]);
        let (mut to_upper, mut to_lower) = ([0.0; ROW], [0.0; ROW]);
        for (y, (upstream, gradient)) in upstream.chunks(width / 2).zip(gradient.chunks_mut(2 * width)).enumerate() {
            let (above, below) = gradient.split_at_mut(width);
            let rows = above.chunks_mut(ROW).zip(below.chunks_mut(ROW));
            for (part, (upstream, (above, below))) in upstream.chunks(ROW / 2).zip(rows).enumerate() {
                let (start, count) = (2 * y * width + part * ROW, above.len());
                let (upper, lower, from) = (&mut upper[..count], &mut lower[..count], &mut from[..count / 2]);
                let (to_upper, to_lower) = (&mut to_upper[..count], &mut to_lower[..count]);
                input.read(start, upper);
                input.read(start + width, lower);
                E::widen(upstream, from);
                E::widen(above, to_upper);
                E::widen(below, to_lower);
                share((upper, lower), from, (to_upper, to_lower));
                E::narrow(to_upper, above);
                E::narrow(to_lower, below);
            }
        }
    }
}

/// Adds each upstream to one of the four pixels of its window.
#[inline(always)]
fn share((upper, lower): (&[f32], &[f32]), from: &[f32], (to_upper, to_lower): (&mut [f32], &mut [f32])) {
    let windows = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    let to = to_upper.as_chunks_mut::<2>().0.iter_mut().zip(to_lower.as_chunks_mut::<2>().0);
    for ((g, ([a, b], [c, d])), (to_upper, to_lower)) in from.iter().zip(windows).zip(to) {
        let (second, best) = (replaces(*b, *a), larger(*a, *b));
        let (third, best) = (replaces(*c, best), larger(best, *c));
        let fourth = replaces(*d, best);
        to_upper[0] += if second | third | fourth { 0.0 } else { *g };
        to_upper[1] += if !second | third | fourth { 0.0 } else { *g };
        to_lower[0] += if !third | fourth { 0.0 } else { *g };
        to_lower[1] += if fourth { *g } else { 0.0 };
    }
}
