//! Sums of maps, and the gradient of an activation behind one.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{Plane, ROW, check};
use crate::{Activation, Area, Element, View};

/// Values per task.
const PART: usize = 64 * ROW;

/// `out = activation(sum of the inputs)`. With `keep`, the old content of `out` is the sum's first term. The sum is computed
/// in float32 and rounded once.
///
/// `out` is `[batch, channels, height, width]`, as is each input.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn sum<E: Element>(inputs: &[View<'_, E>], activation: Activation, area: Area, out: &mut [E], keep: bool) {
    for input in inputs {
        check(input, area);
        assert_eq!(input.values.len(), out.len(), "maps of one size");
    }
    out.par_chunks_mut(area.pixels()).enumerate().for_each(|(index, out)| {
        widest(Sum { inputs, activation, index, out, keep });
    });
}

struct Sum<'a, E> {
    inputs: &'a [View<'a, E>],
    activation: Activation,
    /// The plane.
    index: usize,
    out: &'a mut [E],
    keep: bool,
}

impl<E: Element> Kernel for Sum<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { inputs, activation, index, out, keep } = self;
        let (mut total, mut term, pixels) = ([0.0; ROW], [0.0; ROW], out.len());
        for (part, out) in out.chunks_mut(ROW).enumerate() {
            let (total, term) = (&mut total[..out.len()], &mut term[..out.len()]);
            if keep {
                E::widen(out, total);
            } else {
                total.fill(0.0);
            }
            for input in inputs {
                Plane::of(input, index, pixels).read(part * ROW, term);
                for (total, term) in total.iter_mut().zip(&*term) {
                    *total += term;
                }
            }
            activation.apply_after(&mut *total, |x| x);
            E::narrow(total, out);
        }
    }
}

/// Replaces `upstream`, the gradient of an activation's output, with the gradient of its input. The sign of `output`
/// decides: where `output > 0` the upstream stays, elsewhere it is multiplied by 0 for [`Activation::Relu`] and by the
/// slope, which must be positive, for [`Activation::LeakyRelu`].
///
/// # Panics
/// When the lengths differ.
pub fn activation_gradient<E: Element>(output: &[E], upstream: &mut [E], activation: Activation) {
    assert_eq!(output.len(), upstream.len(), "the maps' sizes");
    if activation == Activation::Identity {
        return;
    }
    upstream.par_chunks_mut(PART).zip(output.par_chunks(PART)).for_each(|(upstream, output)| {
        widest(Gradient { output, upstream, activation });
    });
}

struct Gradient<'a, E> {
    output: &'a [E],
    upstream: &'a mut [E],
    activation: Activation,
}

impl<E: Element> Kernel for Gradient<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { output, upstream, activation } = self;
        let (mut values, mut from, mut to) = ([0.0; ROW], [0.0; ROW], [0.0; ROW]);
        for (output, upstream) in output.chunks(ROW).zip(upstream.chunks_mut(ROW)) {
            let (values, from, to) = (&mut values[..output.len()], &mut from[..output.len()], &mut to[..output.len()]);
            E::widen(output, values);
            E::widen(upstream, from);
            activation.gradient(values, |x| x, from, to);
            E::narrow(to, upstream);
        }
    }
}

/// Rounds float32 values to the type that maps are stored in.
///
/// # Panics
/// When the lengths differ.
pub fn round<E: Element>(values: &[f32], out: &mut [E]) {
    assert_eq!(values.len(), out.len(), "the maps' sizes");
    values.par_chunks(PART).zip(out.par_chunks_mut(PART)).for_each(|(values, out)| E::narrow(values, out));
}

/// `sum += map`, in float32.
///
/// # Panics
/// When the lengths differ.
pub fn add_wide<E: Element>(sum: &mut [f32], map: &[E]) {
    assert_eq!(sum.len(), map.len(), "the maps' sizes");
    sum.par_chunks_mut(PART).zip(map.par_chunks(PART)).for_each(|(sum, map)| {
        let mut row = [0.0; ROW];
        for (sum, map) in sum.chunks_mut(ROW).zip(map.chunks(ROW)) {
            let row = &mut row[..map.len()];
            E::widen(map, row);
            sum.iter_mut().zip(&*row).for_each(|(sum, value)| *sum += value);
        }
    });
}
