//! Segmentation losses as a weighted sum of terms, each with the gradient of the logits. Always float32, whatever type maps
//! are stored in; sums over pixels are float64.

mod bce;
mod binary;
mod class_dice;
mod cldice;
mod cross_entropy;
mod dice;
mod focal;
mod multiclass;
mod part;
mod pixel;
mod skeleton;
mod slopes;
mod sums;
mod target;
mod targets;
mod term;
mod tiles;
mod tversky;

pub use target::target_at;
pub use targets::Targets;
pub use term::{Term, WeightedTerm};

use crate::Area;

/// Number of workspace values that [`loss`] needs with the current number of rayon threads.
///
/// - [`Term::Bce`], [`Term::Dice`], [`Term::Focal`], [`Term::Tversky`], [`Term::FocalTversky`], [`Term::CrossEntropy`]:
///   none.
/// - [`Term::ClassDice`]: two for each class.
/// - [`Term::ClDice`]: two maps of one sample (`height * width`), and for each thread `iterations + 7` tiles of at most
///   64 x 256 pixels with a border of `2 (iterations + 2)` on each side. That is 0.9 MiB per thread for 3 iterations,
///   2.3 MiB for 10.
pub fn loss_workspace(terms: &[WeightedTerm], classes: usize, area: Area) -> usize {
    let of = |weighted: &WeightedTerm| match weighted.term {
        Term::ClDice { iterations } => cldice::workspace(iterations, area),
        Term::ClassDice { .. } => 2 * classes,
        _ => 0,
    };
    terms.iter().map(of).max().unwrap_or(0)
}

/// Writes each sample's loss, the weighted sum of `terms`, to `losses` (`[batch]`), and replaces the logits with the
/// gradient of `scale` times the sum of the losses.
///
/// `logits` is `[batch, classes, height, width]`. Sums and means run over one sample, never over the batch. A NaN among a
/// sample's logits makes its loss NaN. The contents of `workspace` don't matter and are overwritten.
///
/// # Panics
/// When sizes disagree, samples are empty, a term isn't for this number of classes, there are two [`Term::ClDice`],
/// the workspace has fewer than [`loss_workspace`] values, or a label is neither a class nor ignored.
pub fn loss(
    terms: &[WeightedTerm],
    logits: &mut [f32],
    targets: Targets<'_>,
    area: Area,
    scale: f32,
    losses: &mut [f32],
    workspace: &mut [f32],
) {
    let Targets { labels, classes, ignore } = targets;
    assert!(area.values(classes) > 0, "samples without pixels");
    assert_eq!(logits.len(), area.values(classes), "the logits' size");
    assert_eq!(labels.len(), area.values(1), "a label for each pixel");
    assert_eq!(losses.len(), area.batch, "a loss for each sample");
    assert!(workspace.len() >= loss_workspace(terms, classes, area), "the workspace is too small");
    for weighted in terms {
        assert_eq!(weighted.term.is_multiclass(), classes > 1, "{:?} on {classes} classes", weighted.term);
    }
    let area = Area { batch: 1, ..area };
    let samples = logits.chunks_mut(area.values(classes)).zip(labels.chunks(area.pixels()));
    for ((logits, labels), loss) in samples.zip(losses) {
        *loss = if classes == 1 {
            binary::loss(terms, logits, labels, area, scale, workspace)
        } else {
            multiclass::loss(terms, logits, Targets { labels, classes, ignore }, scale, workspace)
        } as f32;
    }
}
