//! Pixels counted by prediction and truth, pooled over all images, and the ratios derived from the counts.
//! A ratio whose denominator is zero is undefined, not zero.

/// Counts of pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Vessel, predicted as vessel.
    pub true_positive: u64,
    /// Background, predicted as vessel.
    pub false_positive: u64,
    /// Vessel, predicted as background.
    pub false_negative: u64,
    /// Background, predicted as background.
    pub true_negative: u64,
}

impl Confusion {
    /// Counts the pixels of one image: whether each is predicted as vessel, and whether it is.
    pub fn of(pixels: impl Iterator<Item = (bool, bool)>) -> Self {
        let mut counts = Self::default();
        for (predicted, truth) in pixels {
            match (predicted, truth) {
                (true, true) => counts.true_positive += 1,
                (true, false) => counts.false_positive += 1,
                (false, true) => counts.false_negative += 1,
                (false, false) => counts.true_negative += 1,
            }
        }
        counts
    }

    /// Adds another image's counts.
    pub fn add(&mut self, other: Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
        self.true_negative += other.true_negative;
    }

    /// Dice, `2 TP / (2 TP + FP + FN)`; `None` where neither mask nor prediction has vessel.
    pub fn dice(&self) -> Option<f64> {
        ratio(2 * self.true_positive, 2 * self.true_positive + self.false_positive + self.false_negative)
    }

    /// Intersection over union, `TP / (TP + FP + FN)`.
    pub fn iou(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_positive + self.false_negative)
    }

    /// `TP / (TP + FN)`: how much of the vessels is found.
    pub fn sensitivity(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_negative)
    }

    /// `TN / (TN + FP)`: how much of the background is left alone.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negative, self.true_negative + self.false_positive)
    }

    /// `TP / (TP + FP)`: how much of what was found is vessel.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positive, self.true_positive + self.false_positive)
    }

    /// `(TP + TN) / all`.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.true_positive + self.true_negative, self.pixels())
    }

    /// The number of counted pixels.
    pub fn pixels(&self) -> u64 {
        self.true_positive + self.false_positive + self.false_negative + self.true_negative
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_follow_from_the_counts() {
        let counts = Confusion { true_positive: 6, false_positive: 2, false_negative: 3, true_negative: 9 };
        assert_eq!(counts.dice(), Some(12.0 / 17.0));
        assert_eq!(counts.iou(), Some(6.0 / 11.0));
        assert_eq!(counts.sensitivity(), Some(6.0 / 9.0));
        assert_eq!(counts.specificity(), Some(9.0 / 11.0));
        assert_eq!(counts.precision(), Some(6.0 / 8.0));
        assert_eq!(counts.accuracy(), Some(15.0 / 20.0));
        let empty = Confusion::of([(false, false); 4].into_iter());
        assert_eq!((empty.dice(), empty.iou(), empty.sensitivity(), empty.accuracy()), (None, None, None, Some(1.0)));
    }
}
