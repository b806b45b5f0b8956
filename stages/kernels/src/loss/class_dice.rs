//! Soft Dice of each class, and their mean.

use super::part::PART;
use super::{Targets, dice};
use crate::parallel;
use crate::rows::{ROW, sum};

/// The mean over classes, from a sample's probabilities. For each class, adds to `slopes` the derivative with respect to the
/// probability of a pixel with another label and of a pixel with this label, times `scale`.
pub(super) fn measure(p: &[f32], targets: Targets<'_>, background: bool, scale: f64, slopes: &mut [[f32; 2]]) -> f64 {
    let first = usize::from(!background);
    let counted = (targets.classes - first) as f64;
    let mut loss = 0.0;
    for (class, (p, slopes)) in p.chunks(targets.labels.len()).zip(slopes).enumerate().skip(first) {
        let [overlap, probability, pixels] = sums(p, targets, class);
        loss += dice::value(overlap, probability + pixels);
        let [other, own] = dice::slopes(overlap, probability + pixels, scale / counted);
        *slopes = [slopes[0] + other, slopes[1] + own];
    }
    loss / counted
}

/// The sums of `p t`, of `p` over labelled pixels, and of `t`.
fn sums(p: &[f32], targets: Targets<'_>, class: usize) -> [f64; 3] {
    let part = |index: usize| {
        let place = index * PART..((index + 1) * PART).min(p.len());
        let (mut sums, mut hits, mut known) = ([0.0; 3], [0.0; ROW], [0.0; ROW]);
        for (p, labels) in p[place.clone()].chunks(ROW).zip(targets.labels[place].chunks(ROW)) {
            let (hits, known) = (&mut hits[..p.len()], &mut known[..p.len()]);
            let mut pixels = 0;
            for i in 0..p.len() {
                let own = usize::from(labels[i]) == class;
                hits[i] = if own { p[i] } else { 0.0 };
                known[i] = if Some(labels[i]) == targets.ignore { 0.0 } else { p[i] };
                pixels += u32::from(own);
            }
            sums[0] += sum(hits);
            sums[1] += sum(known);
            sums[2] += f64::from(pixels);
        }
        sums
    };
    parallel::sum(p.len().div_ceil(PART), part, |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]])
}
