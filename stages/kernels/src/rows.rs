//! Reading rows of a map into float32, and sums over them. Kernels work on rows of [`ROW`] values in a buffer on the stack.

use crate::{Activation, Element, View};

/// Values per buffer: a few buffers fit the L1 cache.
pub(crate) const ROW: usize = 512;

/// Number of sums accumulated side by side.
const LANES: usize = 16;

/// A plane of a map, with the norm and activation it is read through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plane<'a, E> {
    /// The plane's pixels.
    pub values: &'a [E],
    /// `[scale, shift]` before the activation.
    pub affine: Option<[f32; 2]>,
    pub activation: Activation,
}

impl<'a, E: Element> Plane<'a, E> {
    /// The plane `index`, counted over samples and channels.
    #[inline(always)]
    pub fn of(view: &View<'a, E>, index: usize, pixels: usize) -> Self {
        let values = &view.values[index * pixels..][..pixels];
        Self { values, affine: view.affine.map(|affine| affine[index]), activation: view.activation }
    }

    /// Reads as many pixels as `to` holds.
    #[inline(always)]
    pub fn read(&self, start: usize, to: &mut [f32]) {
        E::widen(&self.values[start..][..to.len()], to);
        match (self.affine, self.activation) {
            (Some([scale, shift]), activation) => activation.apply_after(to, |x| scale * x + shift),
            (None, Activation::Identity) => {}
            (None, activation) => activation.apply_after(to, |x| x),
        }
    }
}

/// Panics when the view's size doesn't match its channels and area.
pub(crate) fn check<E>(view: &View<'_, E>, area: crate::Area) {
    assert_eq!(view.values.len(), area.values(view.channels), "the map's size");
    if let Some(affine) = view.affine {
        assert_eq!(affine.len(), area.batch * view.channels, "an affine for each plane");
    }
}

/// The sum of a row.
#[inline(always)]
pub(crate) fn sum(row: &[f32]) -> f64 {
    sum_of(row, |value| value)
}

/// The sum of a function of a row's values.
#[inline(always)]
pub(crate) fn sum_of(row: &[f32], term: impl Fn(f32) -> f32) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let (full, rest) = row.as_chunks::<LANES>();
    for part in full {
        for (lane, value) in lanes.iter_mut().zip(part) {
            *lane += term(*value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += term(*value);
    }
    total(&lanes)
}

/// The sum of a function of two rows' values.
#[inline(always)]
pub(crate) fn sum_of_pairs<B: Copy>(a: &[f32], b: &[B], term: impl Fn(f32, B) -> f32) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += term(*a, *b);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += term(*a, *b);
    }
    total(&lanes)
}

/// Adds up the lanes by halves, which is faster than one after the other.
#[inline(always)]
fn total(lanes: &[f32; LANES]) -> f64 {
    let mut sums = lanes.map(f64::from);
    let mut count = LANES / 2;
    while count > 0 {
        for lane in 0..count {
            sums[lane] += sums[lane + count];
        }
        count /= 2;
    }
    sums[0]
}
