//! The sums over a sample with one channel, in one pass over its logits.

use super::focal::Focal;
use super::part::PART;
use super::pixel::Pixel;
use super::{Term, WeightedTerm, bce};
use crate::parallel;

/// Sums over a sample's pixels.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    /// Sum of cross-entropy and focal loss, with their weights.
    pub pointwise: f64,
    /// Sum of `min(p, y)`, which is `p y` on masks of 0 and 1.
    pub overlap: f64,
    /// Sum of `p + y`.
    pub total: f64,
    /// Sum of `max(p - y, 0)`; this and the next are computed only where a term needs them.
    pub false_positives: f64,
    /// Sum of `max(y - p, 0)`.
    pub false_negatives: f64,
}

/// The sums that the terms need.
pub(super) fn sums(terms: &[WeightedTerm], z: &[f32], y: &[u8]) -> Sums {
    match (bce::weights(terms), Focal::of(terms)) {
        (None, None) => sums_with(terms, z, y, |_| 0.0),
        (Some(weights), None) => sums_with(terms, z, y, |pixel| entropy(weights, pixel)),
        (None, Some(focal)) => sums_with(terms, z, y, |pixel| focal.value(pixel)),
        (Some(weights), Some(focal)) => sums_with(terms, z, y, |pixel| entropy(weights, pixel) + focal.value(pixel)),
    }
}

#[inline(always)]
fn entropy(weights: [f32; 2], pixel: Pixel) -> f32 {
    let [background, mask] = pixel.entropies();
    pixel.of([weights[0] * background, weights[1] * mask])
}

/// One loop per case: choosing for each pixel would cost a seventh of the time.
fn sums_with(terms: &[WeightedTerm], z: &[f32], y: &[u8], pointwise: impl Fn(Pixel) -> f32 + Sync) -> Sums {
    let errors = terms.iter().any(|weighted| matches!(weighted.term, Term::Tversky { .. } | Term::FocalTversky { .. }));
    let part = |index: usize| {
        let pixels = index * PART..((index + 1) * PART).min(z.len());
        let (z, y) = (&z[pixels.clone()], &y[pixels]);
        if errors { sums_of_part::<true>(z, y, &pointwise) } else { sums_of_part::<false>(z, y, &pointwise) }
    };
    parallel::sum(z.len().div_ceil(PART), part, |all, part| Sums {
        pointwise: all.pointwise + part.pointwise,
        overlap: all.overlap + part.overlap,
        total: all.total + part.total,
        false_positives: all.false_positives + part.false_positives,
        false_negatives: all.false_negatives + part.false_negatives,
    })
}

fn sums_of_part<const ERRORS: bool>(z: &[f32], y: &[u8], pointwise: &impl Fn(Pixel) -> f32) -> Sums {
    let mut sums = Sums::default();
    for (&z, &y) in z.iter().zip(y) {
        let pixel = Pixel::new(z, y);
        let Pixel { p, q, y, .. } = pixel;
        sums.pointwise += f64::from(pointwise(pixel));
        // Not `f32::min`: a NaN has to reach the loss.
        sums.overlap += f64::from(if y < p { y } else { p });
        sums.total += f64::from(p + y);
        if ERRORS {
            let (above, below) = (if y < p { p - y } else { 0.0 }, if p < y { y - p } else { 0.0 });
            sums.false_positives += f64::from(above);
            // `1 - p` without cancellation.
            sums.false_negatives += f64::from(if y == 1.0 { q } else { below });
        }
    }
    sums
}
