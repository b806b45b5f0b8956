//! The figures of one test image, from what the network said of it. Independent of all other images, so that several are scored at once.

use std::sync::Arc;

use pipeline_images::{IGNORED, Original, OwnPixels, VESSEL};
use pipeline_metrics::{Confusion, Image, ImageFigures, Ratios, argmax, workspace};

use crate::stages::prediction::{NetworkOutput, bring_back};

/// The figures of an image, in the order in which they are reported.
pub(super) const FIGURES: [&str; 12] = [
    "dice",
    "iou",
    "sensitivity",
    "specificity",
    "accuracy",
    "auc",
    "average_precision",
    "mcc",
    "cldice",
    "betti0_error",
    "betti1_error",
    "hausdorff95",
];
/// How many of [`FIGURES`] a class of several has.
pub(super) const OF_A_CLASS: usize = 4;

/// Thresholds that are compared: 0.01, 0.02, ..., 0.99.
pub(super) const THRESHOLDS: usize = 99;

/// The threshold at a position of a curve.
pub(super) fn threshold_at(at: usize) -> f32 {
    (at + 1) as f32 / (THRESHOLDS + 1) as f32
}

/// What is scored, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// A pixel is vessel if its probability exceeds this.
    pub threshold: f32,
    /// Whether the Dice at each threshold is wanted, too.
    pub curve: bool,
}

/// An image to score.
pub(super) struct Job {
    /// The sample's id.
    pub sample: Arc<str>,
    /// What the network said, `[classes, height, width]`.
    pub output: NetworkOutput,
    /// The number of classes; 1: vessel or not.
    pub classes: usize,
    /// Width of the network's output in pixels.
    pub width: usize,
    /// The mask, in the numbers that the network learns, and its place in the network's output.
    pub truth: Original,
    /// How it is scored.
    pub rules: Rules,
}

/// The figures of an image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scored {
    /// The sample's id.
    pub sample: Arc<str>,
    /// Height and width in pixels at which it was scored.
    pub size: [usize; 2],
    /// Whether only a field of view was scored.
    pub inside: bool,
    /// In the order of [`FIGURES`]; with several classes the means over those that have the figure, without the background.
    pub values: [Option<f64>; FIGURES.len()],
    /// Pixels by prediction and truth: of vessel, or of each class against all others.
    pub counts: Vec<Confusion>,
    /// The Dice at each threshold, where that is wanted.
    pub curve: Vec<f64>,
}

impl Scored {
    /// Whether neither mask nor prediction holds anything.
    pub fn is_empty(&self) -> bool {
        let found = self.counts.iter().skip(usize::from(self.counts.len() > 1));
        found.map(|class| class.true_positive + class.false_positive + class.false_negative).sum::<u64>() == 0
    }
}

/// The first figures of a class: Dice, IoU, sensitivity and specificity. `None` where one divides by nothing.
pub(super) fn of_class(counts: &Confusion) -> [Option<f64>; OF_A_CLASS] {
    let ratios = Ratios::of(counts);
    [Some(ratios.dice), Some(ratios.iou), ratios.sensitivity, ratios.specificity]
}

/// Bytes that the scoring of an image of `pixels` takes whose network saw `seen` of them: logits; a float of each class and two bytes a pixel,
/// for probabilities, mask and field of view; and the figures.
pub(super) fn needed(pixels: u64, seen: u64, classes: u64) -> u64 {
    let maps = pixels.saturating_mul(4 * classes + 2).saturating_add(seen.saturating_mul(4 * classes));
    // Figures of shapes and curves are of vessels only. Their workspace is linear in the pixels but for a few rows.
    let side = pixels.isqrt() as usize + 1;
    maps.saturating_add(if classes > 1 { pixels } else { workspace(side, side) })
}

/// Takes an image's probabilities, its mask (1: vessel) and its field of view.
pub(super) type Pooled<'a> = dyn FnMut(&[f32], &[u8], Option<&[u8]>) + 'a;

impl Job {
    /// What it holds and needs besides, in bytes.
    pub fn bytes(&self) -> u64 {
        let classes = self.classes as u64;
        needed((self.truth.height * self.truth.width) as u64, self.output.values().len() as u64 / classes.max(1), classes)
    }

    /// Scores it, and says the probability of vessel of each pixel with its truth to `pooled`, where the network has one class.
    pub fn score(self, pooled: &mut Pooled<'_>) -> Scored {
        let Self { sample, output, classes, width: across, truth, rules } = self;
        let Original { height, width, mut mask, inside, shown, .. } = truth;
        let size = [height, width];
        if classes > 1 {
            let maps = output.probabilities(classes);
            let area = (maps.len() / classes).max(1);
            let maps: Vec<f32> = maps.chunks_exact(area).flat_map(|map| bring_back(map, across, shown, size)).collect();
            let predicted = argmax(&maps, classes);
            if let Some(inside) = &inside {
                mask.iter_mut().zip(inside).filter(|(_, inside)| **inside == 0).for_each(|(label, _)| *label = IGNORED);
            }
            let counts = by_class(&predicted, &mask, classes);
            return Scored { sample, size, inside: inside.is_some(), values: means(&counts), counts, curve: Vec::new() };
        }
        let probabilities = bring_back(&output.probabilities(classes), across, shown, size);
        mask.iter_mut().for_each(|share| *share = u8::from(*share >= VESSEL));
        pooled(&probabilities, &mask, inside.as_deref());
        let image = Image { height, width, probabilities: &probabilities, truth: &mask, inside: inside.as_deref() };
        let figures = ImageFigures::of(&image, rules.threshold);
        let values = [
            Some(figures.ratios.dice),
            Some(figures.ratios.iou),
            figures.ratios.sensitivity,
            figures.ratios.specificity,
            figures.ratios.accuracy,
            figures.auc,
            figures.average_precision,
            figures.ratios.mcc,
            Some(figures.cldice),
            Some(figures.betti0_error as f64),
            Some(figures.betti1_error as f64),
            figures.hausdorff95,
        ];
        let curve = if rules.curve { curve(&image) } else { Vec::new() };
        Scored { sample, size, inside: inside.is_some(), values, counts: vec![figures.counts], curve }
    }
}

/// Each class against all others. Pixels whose label isn't a class are left out.
fn by_class(predicted: &[u8], labels: &[u8], classes: usize) -> Vec<Confusion> {
    let mut pairs = vec![0_u64; classes * classes];
    for (&predicted, &label) in predicted.iter().zip(labels) {
        if usize::from(label) < classes {
            pairs[usize::from(label) * classes + usize::from(predicted)] += 1;
        }
    }
    let all: u64 = pairs.iter().sum();
    let of = |class: usize| {
        let found = pairs[class * classes + class];
        let labelled: u64 = pairs[class * classes..][..classes].iter().sum();
        let predicted: u64 = (0..classes).map(|label| pairs[label * classes + class]).sum();
        Confusion {
            true_positive: found,
            false_positive: predicted - found,
            false_negative: labelled - found,
            true_negative: all + found - predicted - labelled,
        }
    };
    (0..classes).map(of).collect()
}

/// The figures of an image of several classes.
fn means(counts: &[Confusion]) -> [Option<f64>; FIGURES.len()] {
    let mut values = [None; FIGURES.len()];
    let classes: Vec<_> = counts.iter().skip(1).map(of_class).collect();
    for (at, value) in values.iter_mut().enumerate().take(OF_A_CLASS) {
        *value = mean(classes.iter().filter_map(|class| class[at]));
    }
    values[4] = accuracy(counts);
    values
}

/// The share of pixels that were given their class.
pub(super) fn accuracy(counts: &[Confusion]) -> Option<f64> {
    let all = counts.first()?.pixels();
    let right: u64 = counts.iter().map(|class| class.true_positive).sum();
    (all > 0).then(|| right as f64 / all as f64)
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The Dice at each threshold.
fn curve(image: &Image<'_>) -> Vec<f64> {
    // How many pixels first pass at each number of thresholds, by truth.
    let mut passed = [[0_u64; THRESHOLDS + 1]; 2];
    for (at, (&probability, &truth)) in image.probabilities.iter().zip(image.truth).enumerate() {
        if image.inside.is_none_or(|inside| inside[at] != 0) {
            let thresholds = (0..THRESHOLDS).take_while(|&at| probability > threshold_at(at)).count();
            passed[usize::from(truth)][thresholds] += 1;
        }
    }
    let vessel: u64 = passed[1].iter().sum();
    let above = |truth: usize, at: usize| passed[truth][at + 1..].iter().sum::<u64>();
    let dice = |at: usize| {
        let found = above(1, at);
        let counts =
            Confusion { true_positive: found, false_positive: above(0, at), false_negative: vessel - found, true_negative: 0 };
        Ratios::of(&counts).dice
    };
    (0..THRESHOLDS).map(dice).collect()
}

/// The mask of a pair as a network of `classes` classes learns it, at the size of the pair: for figures where there is no original.
pub(super) fn learnt(mask: &[u8], [height, width]: [usize; 2]) -> Original {
    Original { height, width, mask: mask.to_vec(), pixels: OwnPixels::Dropped, inside: None, shown: [0, 0, height, width] }
}

/// The original without the photograph's own size: its field of view, reduced to the pair's.
pub(super) fn reduced(mask: &[u8], original: Option<&Original>, [height, width]: [usize; 2]) -> Original {
    let mut truth = learnt(mask, [height, width]);
    truth.inside = original.and_then(|original| {
        let (inside, [top, left, tall, wide]) = (original.inside.as_ref()?, original.shown);
        let mut small = vec![0; height * width];
        for y in 0..tall {
            for x in 0..wide {
                let (from_y, from_x) = ((2 * y + 1) * original.height / (2 * tall), (2 * x + 1) * original.width / (2 * wide));
                small[(top + y) * width + left + x] = inside[from_y * original.width + from_x];
            }
        }
        Some(small)
    });
    truth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(logits: &[f32], classes: usize, width: usize, truth: Original, curve: bool) -> Scored {
        let rules = Rules { threshold: 0.5, curve };
        Job { sample: "a".into(), output: NetworkOutput::Logits(logits.to_vec()), classes, width, truth, rules }
            .score(&mut |_, _, _| {})
    }

    #[test]
    fn a_photograph_is_scored_at_its_own_size_without_what_pads_it_and_outside_its_field_of_view() {
        // The network saw 2 x 2 pixels in the middle of 4 x 4; the photograph has 4 x 4 of its own, whose last row is outside.
        let mut logits = [9.0; 16];
        [(5, 3.0), (6, -3.0), (9, 3.0), (10, -3.0)].into_iter().for_each(|(at, logit)| logits[at] = logit);
        let mask = [255, 255, 0, 0, 255, 127, 128, 0, 255, 255, 0, 0, 255, 255, 255, 255].to_vec();
        let inside = Some([vec![1; 12], vec![0; 4]].concat());
        let truth = Original { height: 4, width: 4, mask, pixels: OwnPixels::Dropped, inside, shown: [1, 1, 2, 2] };
        let scored = scored(&logits, 1, 4, truth, false);
        // Brought back, each row is above one half in its first two pixels.
        let counts = Confusion { true_positive: 5, false_positive: 1, false_negative: 1, true_negative: 5 };
        assert_eq!((scored.size, scored.inside, scored.counts), ([4, 4], true, vec![counts]));
        assert_eq!(scored.values[0], Some(10.0 / 12.0));
    }

    #[test]
    fn the_curve_is_the_dice_at_each_threshold() {
        let logits: Vec<f32> = (0..400).map(|at| ((at * 37 % 101) as f32 - 50.0) / 9.0).collect();
        let mask: Vec<u8> = (0..400).map(|at| if at * 53 % 97 < 30 { 255 } else { 0 }).collect();
        let curve = scored(&logits, 1, 20, learnt(&mask, [20, 20]), true).curve;
        for (at, dice) in curve.iter().enumerate() {
            let rules = Rules { threshold: threshold_at(at), curve: false };
            let job = Job {
                sample: "a".into(),
                output: NetworkOutput::Logits(logits.clone()),
                classes: 1,
                width: 20,
                truth: learnt(&mask, [20, 20]),
                rules,
            };
            assert_eq!(job.score(&mut |_, _, _| {}).values[0], Some(*dice), "{}", threshold_at(at));
        }
        assert_eq!(curve.len(), 99);
    }

    #[test]
    fn classes_are_those_of_the_largest_probability_brought_back() {
        // Two columns of classes 1 and 2, scored at twice the width; a pixel is ignored and the last row is outside.
        let logits = [[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]].concat();
        let mask = vec![1, 1, 2, 255, 0, 0, 0, 0];
        let truth = Original {
            height: 2,
            width: 4,
            mask,
            pixels: OwnPixels::Dropped,
            inside: Some(vec![1, 1, 1, 1, 0, 0, 0, 0]),
            shown: [0, 0, 1, 2],
        };
        let scored = scored(&logits, 3, 2, truth, false);
        assert_eq!(scored.counts[1], Confusion { true_positive: 2, false_positive: 0, false_negative: 0, true_negative: 1 });
        assert_eq!(scored.counts[2], Confusion { true_positive: 1, false_positive: 0, false_negative: 0, true_negative: 2 });
        assert_eq!((scored.values[0], scored.values[4], scored.is_empty()), (Some(1.0), Some(1.0), false));
    }

    #[test]
    fn a_field_of_view_is_reduced_to_the_pair_s_size() {
        let inside = (0..64).map(|at| u8::from(at % 8 < 4)).collect();
        let original = Original {
            height: 8,
            width: 8,
            mask: vec![0; 64],
            pixels: OwnPixels::Dropped,
            inside: Some(inside),
            shown: [1, 0, 2, 4],
        };
        let reduced = reduced(&[0; 16], Some(&original), [4, 4]);
        assert_eq!(reduced.inside, Some(vec![0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]));
    }
}
