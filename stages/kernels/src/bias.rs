//! The gradient of a bias.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{ROW, sum};
use crate::{Area, Element};

/// Adds the sum of each channel over samples and pixels: `gradient[c] += sum_{b, y, x} upstream[b, c, y, x]`. Rows of 512
/// values are summed in float32 over 16 lanes, lanes and rows in float64.
///
/// `upstream` is `[batch, channels, height, width]`, `gradient` `[channels]`.
///
/// # Panics
/// When sizes disagree, or planes are empty.
pub fn channel_sums<E: Element>(upstream: &[E], channels: usize, area: Area, gradient: &mut [f32]) {
    assert_eq!(upstream.len(), area.values(channels), "the upstream's size");
    assert_eq!(gradient.len(), channels, "a sum for each channel");
    gradient.par_iter_mut().enumerate().for_each(|(channel, gradient)| {
        let planes = upstream.chunks(area.pixels()).skip(channel).step_by(channels);
        *gradient += planes.map(|plane| widest(Sum { plane })).sum::<f64>() as f32;
    });
}

struct Sum<'a, E> {
    plane: &'a [E],
}

impl<E: Element> Kernel for Sum<'_, E> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let Self { plane } = self;
        let (mut row, mut total) = ([0.0; ROW], 0.0);
        for part in plane.chunks(ROW) {
            E::widen(part, &mut row[..part.len()]);
            total += sum(&row[..part.len()]);
        }
        total
    }
}
