//! The loss of a sample with several classes: one pass that turns logits into probabilities, one over each class for Dice,
//! and one that turns probabilities into the gradient.

use super::part::PART;
use super::{Targets, Term, WeightedTerm, class_dice, cross_entropy};
use crate::cells::{Strip, through_planes};
use crate::rows::ROW;

/// Returns the loss and replaces the logits with the gradient times `scale`.
pub(super) fn loss(terms: &[WeightedTerm], z: &mut [f32], targets: Targets<'_>, scale: f32, workspace: &mut [f32]) -> f64 {
    let (pixels, scale) = (targets.labels.len(), f64::from(scale));
    let known = |label: u8| (usize::from(label) < targets.classes) | (Some(label) == targets.ignore);
    assert!(targets.labels.iter().fold(true, |all, label| all & known(*label)), "a label that is no class");
    let weight = cross_entropy::weight(terms);
    let softmax = |strip: Strip<'_, f32>| cross_entropy::softmax(strip, targets, weight.is_some());
    let [entropy, labelled] = through_planes(z, pixels, PART, softmax, |a, b| [a[0] + b[0], a[1] + b[1]]);
    let (weight, labelled) = (weight.unwrap_or_default(), labelled.max(1.0));
    let mut loss = weight * entropy / labelled;
    let has_dice = terms.iter().any(|weighted| matches!(weighted.term, Term::ClassDice { .. }));
    let dice = &mut workspace.as_chunks_mut::<2>().0[..if has_dice { targets.classes } else { 0 }];
    dice.fill([0.0; 2]);
    for weighted in terms {
        if let Term::ClassDice { background } = weighted.term {
            let weight = f64::from(weighted.weight);
            loss += weight * class_dice::measure(z, targets, background, scale * weight, dice);
        }
    }
    let slopes = Slopes { entropy: (scale * weight / labelled) as f32, dice: has_dice.then_some(&*dice) };
    through_planes(z, pixels, PART, |strip| slopes.write(strip, targets), |(), ()| ());
    loss
}

/// The components of a sample's gradient.
#[derive(Debug, Clone, Copy)]
struct Slopes<'a> {
    /// Factor of `p - t`.
    entropy: f32,
    /// Derivative with respect to the probability of a class, where the label is another class and where it is this one.
    dice: Option<&'a [[f32; 2]]>,
}

impl Slopes<'_> {
    /// Turns probabilities into the gradient: with `g` the derivative with respect to the probabilities,
    /// `p_c (g_c - sum_k p_k g_k)`.
    ///
    /// The sum is taken over `g_k - g_m`, with `m` the most probable class, so that nothing cancels where `p_m` is nearly 1.
    fn write(self, mut strip: Strip<'_, f32>, targets: Targets<'_>) {
        let Targets { labels, classes, ignore } = targets;
        let labels = &labels[strip.range()];
        for (part, labels) in labels.chunks(ROW).enumerate() {
            let (place, n) = (part * ROW..part * ROW + labels.len(), labels.len());
            let (mut best, mut reference, mut mean, mut others) = ([-1.0; ROW], [0.0; ROW], [0.0; ROW], [0.0; ROW]);
            let slope = |class: usize, label: u8| {
                self.dice.map_or(0.0, |dice| if usize::from(label) == class { dice[class][1] } else { dice[class][0] })
            };
            for class in 0..classes {
                let p = &strip.plane(class)[place.clone()];
                for i in 0..n {
                    others[i] += if usize::from(labels[i]) == class { 0.0 } else { p[i] };
                    let replaces = p[i] > best[i];
                    reference[i] = if replaces { slope(class, labels[i]) } else { reference[i] };
                    best[i] = if replaces { p[i] } else { best[i] };
                }
            }
            if self.dice.is_some() {
                for class in 0..classes {
                    let p = &strip.plane(class)[place.clone()];
                    for i in 0..n {
                        mean[i] += p[i] * (slope(class, labels[i]) - reference[i]);
                    }
                }
            }
            for class in 0..classes {
                let p = &mut strip.plane(class)[place.clone()];
                for i in 0..n {
                    let by_entropy = if usize::from(labels[i]) == class { -others[i] } else { p[i] };
                    let by_dice = p[i] * (slope(class, labels[i]) - reference[i] - mean[i]);
                    p[i] = if Some(labels[i]) == ignore { 0.0 } else { self.entropy * by_entropy + by_dice };
                }
            }
        }
    }
}
