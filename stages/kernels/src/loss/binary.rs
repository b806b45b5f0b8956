//! The loss of a sample of one channel: one pass over the logits for the sums, one that writes the gradient. [`cldice`]
//! adds its own.

use rayon::prelude::*;

use super::focal::Focal;
use super::pixel::Pixel;
use super::tversky::Tversky;
use super::{PART, Term, WeightedTerm, bce, cldice, dice};
use crate::{Area, parallel};

/// Sums over a sample's pixels.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Sums {
    /// Of cross-entropy and focal loss, with their weights.
    pointwise: f64,
    /// Of `p y`.
    pub overlap: f64,
    /// Of `p + y`.
    pub total: f64,
    /// Of `p (1 - y)`; this and the next only where a term needs them.
    pub false_positives: f64,
    /// Of `(1 - p) y`.
    pub false_negatives: f64,
}

/// The loss; over the logits goes the gradient times `scale`.
pub(super) fn loss(terms: &[WeightedTerm], z: &mut [f32], y: &[u8], area: Area, scale: f32, workspace: &mut [f32]) -> f64 {
    let (pixels, scale) = (z.len() as f64, f64::from(scale));
    let (weights, focal) = (bce::weights(terms), Focal::of(terms));
    let sums = sums(terms, z, y);
    let mut loss = sums.pointwise / pixels;
    let mut slopes = Slopes {
        entropy: weights.unwrap_or_default().map(|weight| (scale * f64::from(weight) / pixels) as f32),
        probability: [0.0; 2],
        focal: focal.map(|focal| (focal, (scale / pixels) as f32)),
    };
    let mut centrelines = None;
    for &WeightedTerm { term, weight } in terms {
        let weight = f64::from(weight);
        let (value, [off, on]) = match term {
            Term::Dice => (dice::value(sums.overlap, sums.total), dice::slopes(sums.overlap, sums.total, scale * weight)),
            Term::Tversky { alpha, beta } => {
                let tversky = Tversky::new(&sums, alpha, beta);
                (tversky.value(), tversky.slopes(scale * weight))
            }
            Term::FocalTversky { alpha, beta, gamma } => {
                let tversky = Tversky::new(&sums, alpha, beta);
                (tversky.focal_value(gamma), tversky.focal_slopes(gamma, scale * weight))
            }
            Term::ClDice { iterations } => {
                assert!(centrelines.is_none(), "one clDice");
                let measured = cldice::ClDice::measure(iterations, z, y, area, workspace);
                centrelines = Some((measured, scale * weight));
                (measured.value(), [0.0; 2])
            }
            _ => continue,
        };
        loss += weight * value;
        slopes.probability[0] += off;
        slopes.probability[1] += on;
    }
    match centrelines {
        Some((measured, scale)) => measured.write(&slopes, z, y, scale, workspace),
        None => z.par_chunks_mut(PART).zip(y.par_chunks(PART)).for_each(|(z, y)| slopes.write(z, y)),
    }
    loss
}

fn sums(terms: &[WeightedTerm], z: &[f32], y: &[u8]) -> Sums {
    match (bce::weights(terms), Focal::of(terms)) {
        (None, None) => sums_with(terms, z, y, |_| 0.0),
        (Some(weights), None) => sums_with(terms, z, y, |pixel| pixel.of(weights) * pixel.entropy()),
        (None, Some(focal)) => sums_with(terms, z, y, |pixel| focal.value(pixel)),
        (Some(weights), Some(focal)) => {
            sums_with(terms, z, y, |pixel| pixel.of(weights) * pixel.entropy() + focal.value(pixel))
        }
    }
}

/// A loop for each case: the choice costs a seventh of the time where it is made for each pixel.
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
        let (Pixel { p, q, .. }, y) = (pixel, pixel.of([0.0, 1.0]));
        sums.pointwise += f64::from(pointwise(pixel));
        sums.overlap += f64::from(p * y);
        sums.total += f64::from(p + y);
        if ERRORS {
            sums.false_positives += f64::from(p * (1.0 - y));
            sums.false_negatives += f64::from(q * y);
        }
    }
    sums
}

/// What the gradient of a sample is made of. Pairs are for background and for the mask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slopes<'a> {
    /// Of `p - y`.
    entropy: [f32; 2],
    /// By the probability: of `p (1 - p)`.
    probability: [f32; 2],
    /// With its factor.
    focal: Option<(Focal<'a>, f32)>,
}

impl Slopes<'_> {
    fn write(&self, z: &mut [f32], y: &[u8]) {
        for (z, &y) in z.iter_mut().zip(y) {
            let pixel = Pixel::new(*z, y);
            *z = self.at(pixel, self.probability);
        }
    }

    /// As [`Self::write`], with a further derivative by each pixel's probability.
    pub fn write_with(&self, z: &mut [f32], y: &[u8], extra: &[f32]) {
        for ((z, &y), extra) in z.iter_mut().zip(y).zip(extra) {
            let pixel = Pixel::new(*z, y);
            *z = self.at(pixel, self.probability.map(|slope| slope + extra));
        }
    }

    #[inline(always)]
    fn at(&self, pixel: Pixel, probability: [f32; 2]) -> f32 {
        let (Pixel { p, q, .. }, entropy) = (pixel, self.entropy);
        let slope = pixel.of([entropy[0] * p + probability[0] * (p * q), entropy[1] * -q + probability[1] * (p * q)]);
        match self.focal {
            Some((focal, factor)) => slope + factor * focal.slope(pixel),
            None => slope,
        }
    }
}
