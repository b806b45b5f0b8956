//! ROC AUC and average precision from all pixels' probabilities, exactly, by sorting them. [`RocAuc`](crate::RocAuc) is the one
//! for any number of images in bounded memory.

use std::iter::Peekable;
use std::slice::Iter;

/// The probabilities of vessel pixels and of background pixels: 4 bytes a pixel, and up to 4 more while they are sorted.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    positive: Vec<u32>,
    negative: Vec<u32>,
}

/// How well the probabilities' order tells vessel from background.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// The area under the ROC curve: the chance that a vessel pixel scores above a background pixel, ties counting half.
    /// `None` without vessel or without background.
    pub auc: Option<f64>,
    /// Average precision: the sum over distinct probabilities, from the highest, of precision times the gain in recall, without interpolation
    /// (scikit-learn's `average_precision_score`). `None` without vessel, where scikit-learn says 0.
    pub average_precision: Option<f64>,
}

impl Ranking {
    /// Adds an image's pixels: probabilities or any other scores, whether each is vessel (not 0), and which of them count (not 0;
    /// all without). NaN ranks below everything.
    ///
    /// # Panics
    /// Unless the slices have the same length.
    pub fn add(&mut self, scores: &[f32], truth: &[u8], inside: Option<&[u8]>) {
        assert_eq!(scores.len(), truth.len(), "a score for each pixel");
        assert!(inside.is_none_or(|inside| inside.len() == truth.len()), "the field of view's size");
        let counts = |at: usize| inside.is_none_or(|inside| inside[at] != 0);
        let (mut positive, mut negative) = (0, 0);
        for (at, &truth) in truth.iter().enumerate() {
            positive += usize::from(counts(at) && truth != 0);
            negative += usize::from(counts(at) && truth == 0);
        }
        self.positive.reserve_exact(positive);
        self.negative.reserve_exact(negative);
        for (at, (&score, &truth)) in scores.iter().zip(truth).enumerate() {
            if counts(at) {
                let side = if truth != 0 { &mut self.positive } else { &mut self.negative };
                side.push(key(score));
            }
        }
    }

    /// Bytes taken for this many pixels, added as one image.
    pub(crate) fn workspace(pixels: u64) -> u64 {
        2 * 4 * pixels + DIGITS as u64 * (8 << BITS)
    }

    /// Both figures over all pixels added.
    pub fn finish(mut self) -> Ranked {
        sort(&mut self.positive);
        sort(&mut self.negative);
        let (positives, negatives) = (self.positive.len() as f64, self.negative.len() as f64);
        let (mut found, mut false_alarms) = (0_u64, 0_u64);
        // Twice the pairs in the right order: exact.
        let mut pairs = 0_u128;
        let mut precision = 0.0;
        let mut groups = Groups { positive: self.positive.iter().peekable(), negative: self.negative.iter().peekable() };
        while let Some([positive, negative]) = groups.next() {
            pairs += u128::from(negative) * u128::from(2 * found + positive);
            (found, false_alarms) = (found + positive, false_alarms + negative);
            if positive > 0 {
                precision += positive as f64 * (found as f64 / (found + false_alarms) as f64);
            }
        }
        Ranked {
            auc: (found > 0 && false_alarms > 0).then(|| pairs as f64 / 2.0 / positives / negatives),
            average_precision: (found > 0).then(|| precision / positives),
        }
    }
}

/// Pixels with equal scores, from the highest: how many are vessel and how many background.
struct Groups<'a> {
    positive: Peekable<Iter<'a, u32>>,
    negative: Peekable<Iter<'a, u32>>,
}

impl Groups<'_> {
    fn next(&mut self) -> Option<[u64; 2]> {
        let highest = match (self.positive.peek(), self.negative.peek()) {
            (Some(&&a), Some(&&b)) => a.min(b),
            (Some(&&one), None) | (None, Some(&&one)) => one,
            (None, None) => return None,
        };
        Some([&mut self.positive, &mut self.negative].map(|side| {
            let mut count = 0;
            while side.next_if(|&&key| key == highest).is_some() {
                count += 1;
            }
            count
        }))
    }
}

/// A number that is smaller the higher the score; the largest for NaN.
fn key(score: f32) -> u32 {
    if score.is_nan() {
        return u32::MAX;
    }
    // Adding zero turns -0 into 0, with which it ties.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { (1 << 31) - 1 - bits } else { bits }
}

/// Bits of a digit: three digits a key.
const BITS: usize = 11;
const DIGITS: usize = 3;
/// Fewer keys are sorted by comparison.
const FEW: usize = 1 << 12;

/// Sorts by digits, from the last (LSD radix sort), with a second buffer of the same size.
fn sort(keys: &mut Vec<u32>) {
    if keys.len() < FEW {
        keys.sort_unstable();
        return;
    }
    let digit = |key: u32, place: usize| (key >> (place * BITS)) as usize & ((1 << BITS) - 1);
    let mut counts = vec![[0_usize; 1 << BITS]; DIGITS];
    for &key in &*keys {
        for (place, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, place)] += 1;
        }
    }
    let mut other = vec![0; keys.len()];
    for (place, starts) in counts.iter_mut().enumerate() {
        if starts.contains(&keys.len()) {
            continue;
        }
        let mut start = 0;
        for count in starts.iter_mut() {
            start += std::mem::replace(count, start);
        }
        for &key in &*keys {
            let start = &mut starts[digit(key, place)];
            other[*start] = key;
            *start += 1;
        }
        std::mem::swap(keys, &mut other);
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use pipeline_contract::stage_rng;
    use rand::RngExt as _;

    fn ranked(scores: &[f32], truth: &[u8], inside: Option<&[u8]>) -> Ranked {
        let mut ranking = Ranking::default();
        ranking.add(scores, truth, inside);
        ranking.finish()
    }

    #[test]
    fn agrees_with_all_pairs_and_all_thresholds() {
        let mut rng = stage_rng(5, 0, "ranking", "test");
        for levels in [3, 50, 1 << 20] {
            let truth: Vec<u8> = (0..9000).map(|_| u8::from(rng.random_range(0..6) == 0)).collect();
            let score =
                |&truth: &u8| (rng.random_range(0..levels) + levels * i32::from(truth) / 3) as f32 / levels as f32 - 0.5;
            let scores: Vec<f32> = truth.iter().map(score).collect();
            let side = |wanted: u8| scores.iter().zip(&truth).filter(move |pair| *pair.1 == wanted).map(|pair| *pair.0);
            let (positive, negative): (Vec<f32>, Vec<f32>) = (side(1).collect(), side(0).collect());
            let pairs: f64 = positive
                .iter()
                .flat_map(|p| negative.iter().map(move |n| f64::from(u8::from(p > n)) + 0.5 * f64::from(u8::from(p == n))))
                .sum();
            // What precision a vessel pixel's own threshold has.
            let precision = |p: &f32| {
                let found = positive.iter().filter(|other| *other >= p).count() as f64;
                found / (found + negative.iter().filter(|other| *other >= p).count() as f64)
            };
            let average = positive.iter().map(precision).sum::<f64>() / positive.len() as f64;
            let figures = ranked(&scores, &truth, None);
            let auc = pairs / positive.len() as f64 / negative.len() as f64;
            assert!((figures.auc.expect("both") - auc).abs() < 1e-12, "{levels}");
            assert!((figures.average_precision.expect("vessel") - average).abs() < 1e-12, "{levels}");
        }
    }

    #[test]
    fn scores_are_ordered_as_numbers_and_nan_is_last() {
        let order = [f32::INFINITY, 2.0, 1.0, f32::MIN_POSITIVE, 0.0, -1e-40, -1.0, -7.5, f32::NEG_INFINITY, f32::NAN];
        assert!(order.map(key).is_sorted_by(|a, b| a < b), "{:?}", order.map(key));
        assert_eq!(key(-0.0), key(0.0));
        assert_eq!(key(-f32::NAN), key(f32::NAN));
    }

    #[test]
    fn long_lists_are_sorted() {
        let mut rng = stage_rng(6, 0, "sort", "test");
        for shift in [0, 12, 25] {
            let mut keys: Vec<u32> = (0..3 * FEW).map(|_| rng.random::<u32>() >> shift).collect();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            sort(&mut keys);
            assert_eq!(keys, sorted);
        }
    }

    #[test]
    fn one_class_has_no_area() {
        assert_eq!(ranked(&[0.1, 0.9], &[0, 0], None), Ranked { auc: None, average_precision: None });
        assert_eq!(ranked(&[0.1, 0.9], &[1, 1], None), Ranked { auc: None, average_precision: Some(1.0) });
        assert_eq!(ranked(&[0.1, 0.9], &[1, 0], Some(&[0, 0])), Ranked { auc: None, average_precision: None });
        // What isn't inside doesn't count.
        let figures = ranked(&[0.1, 0.9, 0.5, 0.7], &[1, 0, 0, 1], Some(&[0, 0, 1, 1]));
        assert_eq!(figures, Ranked { auc: Some(1.0), average_precision: Some(1.0) });
    }

    #[test]
    fn images_can_be_pooled() {
        let (scores, truth) = ([0.1, 0.4, 0.4, 0.8, 0.9], [0, 1, 0, 1, 0]);
        let mut pooled = Ranking::default();
        pooled.add(&scores[..2], &truth[..2], None);
        pooled.add(&scores[2..], &truth[2..], None);
        assert_eq!(pooled.finish(), ranked(&scores, &truth, None));
    }
}
