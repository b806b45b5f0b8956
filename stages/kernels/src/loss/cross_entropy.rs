//! Cross-entropy over classes, computed while logits become probabilities.

use super::{Targets, Term, WeightedTerm};
use crate::cells::Strip;
use crate::rows::ROW;

/// The total weight of all such terms of a list; `None` without one.
pub(super) fn weight(terms: &[WeightedTerm]) -> Option<f64> {
    let weights =
        terms.iter().filter(|weighted| weighted.term == Term::CrossEntropy).map(|weighted| f64::from(weighted.weight));
    weights.reduce(|a, b| a + b)
}

/// Replaces the logits of a strip with their softmax. Returns the sum of `-ln p[label]` over labelled pixels, if wanted, and
/// their number.
pub(super) fn softmax(mut strip: Strip<'_, f32>, targets: Targets<'_>, entropy: bool) -> [f64; 2] {
    let Targets { labels, classes, ignore } = targets;
    let labels = &labels[strip.range()];
    let mut sums = [0.0; 2];
    for (part, labels) in labels.chunks(ROW).enumerate() {
        let (place, n) = (part * ROW..part * ROW + labels.len(), labels.len());
        // The largest logit and its class, the label's logit, and the sum of all exponentials except the largest logit's,
        // which is 1.
        let (mut largest, mut class_of, mut own, mut rest) = ([f32::NEG_INFINITY; ROW], [0; ROW], [0.0; ROW], [0.0; ROW]);
        for class in 0..classes {
            let z = &strip.plane(class)[place.clone()];
            for i in 0..n {
                let replaces = z[i] > largest[i];
                class_of[i] = if replaces { class } else { class_of[i] };
                largest[i] = if replaces { z[i] } else { largest[i] };
                own[i] = if usize::from(labels[i]) == class { z[i] } else { own[i] };
            }
        }
        for class in 0..classes {
            let z = &mut strip.plane(class)[place.clone()];
            for i in 0..n {
                z[i] = (z[i] - largest[i]).exp();
                rest[i] += if class_of[i] == class { 0.0 } else { z[i] };
            }
        }
        for class in 0..classes {
            for (z, rest) in strip.plane(class)[place.clone()].iter_mut().zip(&rest) {
                *z /= 1.0 + rest;
            }
        }
        for i in 0..n {
            if Some(labels[i]) != ignore {
                sums[0] += if entropy { f64::from(largest[i] - own[i] + rest[i].ln_1p()) } else { 0.0 };
                sums[1] += 1.0;
            }
        }
    }
    sums
}
