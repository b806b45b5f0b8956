//! The loss of a sample with one channel: one pass over the logits for the sums, and one that writes the gradient.
//! [`cldice`] adds its own passes.

use rayon::prelude::*;

use super::focal::Focal;
use super::part::PART;
use super::slopes::Slopes;
use super::sums::sums;
use super::tversky::Tversky;
use super::{Term, WeightedTerm, bce, cldice, dice};
use crate::Area;

/// Returns the loss and replaces the logits with the gradient times `scale`.
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
