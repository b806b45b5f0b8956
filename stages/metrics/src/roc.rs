//! The area under the ROC curve over all pixels of all images, in the memory of two histograms.
//! It takes logits, which have the same order as probabilities but don't crowd at 0 and 1.

/// Number of bins; the two outermost cover all logits beyond the limit.
const BINS: usize = 1 << 16;
/// Logits beyond this (probabilities within 1e-7 of 0 or 1) share the outermost bins.
const LIMIT: f32 = 16.0;

/// The area under the ROC curve: the chance that a vessel pixel scores above a background pixel, ties counting half.
///
/// Logits are counted in bins of width 2^-11, so the area is exact except for pairs that share a bin, which count half
/// instead of 0 or 1. [`RocAuc::bound`] bounds that error.
#[derive(Debug, Clone)]
pub struct RocAuc {
    positive: Vec<u64>,
    negative: Vec<u64>,
}

impl Default for RocAuc {
    fn default() -> Self {
        Self { positive: vec![0; BINS], negative: vec![0; BINS] }
    }
}

impl RocAuc {
    /// The counts: the bins for vessel, then those for background.
    pub fn counts(&self) -> Vec<u64> {
        [&self.positive[..], &self.negative].concat()
    }

    /// Continues with saved counts; `None` if the number of bins is wrong, or there are too many pixels to count further
    /// (2^53 or more).
    pub fn from_counts(mut counts: Vec<u64>) -> Option<Self> {
        let pixels = counts.iter().try_fold(0_u64, |sum, &count| sum.checked_add(count))?;
        if counts.len() != 2 * BINS || pixels >= 1 << 53 {
            return None;
        }
        let negative = counts.split_off(BINS);
        Some(Self { positive: counts, negative })
    }

    /// Counts one pixel: its logit, and whether it is vessel.
    pub fn add(&mut self, logit: f32, truth: bool) {
        let place = (logit.clamp(-LIMIT, LIMIT) + LIMIT) * (BINS as f32 / (2.0 * LIMIT));
        let bins = if truth { &mut self.positive } else { &mut self.negative };
        // A cast from float saturates and turns NaN into 0.
        bins[(place as usize).min(BINS - 1)] += 1;
    }

    /// The area; `None` without vessel or without background, where it is undefined.
    pub fn value(&self) -> Option<f64> {
        let (mut below, mut area) = (0.0, 0.0);
        for (&positive, &negative) in self.positive.iter().zip(&self.negative) {
            area += positive as f64 * (below + negative as f64 / 2.0);
            below += negative as f64;
        }
        self.pairs().map(|pairs| area / pairs)
    }

    /// How far the value can be from the exact area: half of the pairs that share a bin.
    pub fn bound(&self) -> Option<f64> {
        let shared: f64 = self.positive.iter().zip(&self.negative).map(|(&p, &n)| p as f64 * n as f64).sum();
        self.pairs().map(|pairs| shared / 2.0 / pairs)
    }

    /// Pairs of a vessel and a background pixel.
    fn pairs(&self) -> Option<f64> {
        let pairs = self.positive.iter().sum::<u64>() as f64 * self.negative.iter().sum::<u64>() as f64;
        (pairs > 0.0).then_some(pairs)
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use pipeline_contract::stage_rng;
    use rand::RngExt as _;

    #[test]
    fn agrees_with_all_pairs_within_its_bound() {
        let mut rng = stage_rng(3, 0, "roc", "test");
        let mut draw = |shift: f32| (0..400).map(|_| rng.random::<f32>() * 6.0 + shift).collect::<Vec<_>>();
        let (positive, negative) = (draw(-1.0), draw(-4.0));
        let mut roc = RocAuc::default();
        positive.iter().for_each(|&logit| roc.add(logit, true));
        negative.iter().for_each(|&logit| roc.add(logit, false));
        let score = |p: &f32, n: &f32| {
            if p > n {
                1.0
            } else if p == n {
                0.5
            } else {
                0.0
            }
        };
        let exact: f64 = positive.iter().flat_map(|p| negative.iter().map(move |n| score(p, n))).sum::<f64>() / 160_000.0;
        let (value, bound) = (roc.value().expect("both classes"), roc.bound().expect("both classes"));
        assert!((value - exact).abs() <= bound && bound < 1e-3, "{value} {exact} {bound}");
    }

    #[test]
    fn one_class_has_no_area_and_extremes_are_counted() {
        let mut roc = RocAuc::default();
        roc.add(f32::INFINITY, true);
        assert_eq!(roc.value(), None);
        roc.add(f32::NEG_INFINITY, false);
        assert_eq!((roc.value(), roc.bound()), (Some(1.0), Some(0.0)));
    }
}
