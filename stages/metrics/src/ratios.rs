//! The ratios of one image's counts. An image without vessel in which none was found counts as right: its Dice is undefined in
//! [`Confusion::dice`].

use crate::Confusion;

/// Ratios of an image's counts, from 0 to 1, MCC from -1 to 1. `None` is undefined: its denominator is zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratios {
    /// `2 TP / (2 TP + FP + FN)`; 1 where both masks are empty.
    pub dice: f64,
    /// `TP / (TP + FP + FN)`; 1 where both masks are empty.
    pub iou: f64,
    /// `TP / (TP + FN)`; `None` without vessel.
    pub sensitivity: Option<f64>,
    /// `TN / (TN + FP)`; `None` without background.
    pub specificity: Option<f64>,
    /// `TP / (TP + FP)`; `None` where no vessel was found.
    pub precision: Option<f64>,
    /// `(TP + TN) / all`; `None` without pixels.
    pub accuracy: Option<f64>,
    /// Matthews' correlation coefficient, `(TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))` (Matthews 1975); `None` where
    /// one of the four sums is zero. scikit-learn says 0 there.
    pub mcc: Option<f64>,
    /// Whether there is no vessel and none was found. Such images lift means of Dice and IoU, so they are to be counted apart.
    pub both_empty: bool,
}

impl Ratios {
    /// The ratios of one image's counts, or of counts pooled over images.
    pub fn of(counts: &Confusion) -> Self {
        let found = counts.true_positive + counts.false_positive + counts.false_negative;
        let both_empty = found == 0;
        Self {
            dice: counts.dice().unwrap_or(1.0),
            iou: counts.iou().unwrap_or(1.0),
            sensitivity: counts.sensitivity(),
            specificity: counts.specificity(),
            precision: counts.precision(),
            accuracy: counts.accuracy(),
            mcc: mcc(counts),
            both_empty,
        }
    }
}

fn mcc(counts: &Confusion) -> Option<f64> {
    let Confusion { true_positive, false_positive, false_negative, true_negative } = *counts;
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    let predicted = product(true_positive + false_positive, true_negative + false_negative);
    let actual = product(true_positive + false_negative, true_negative + false_positive);
    // Exact up to here: the two products may be nearly equal.
    let (right, wrong) = (product(true_positive, true_negative), product(false_positive, false_negative));
    let difference = if right >= wrong { (right - wrong) as f64 } else { -((wrong - right) as f64) };
    (predicted > 0 && actual > 0).then(|| difference / ((predicted as f64).sqrt() * (actual as f64).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratios(true_positive: u64, false_positive: u64, false_negative: u64, true_negative: u64) -> Ratios {
        Ratios::of(&Confusion { true_positive, false_positive, false_negative, true_negative })
    }

    #[test]
    fn empty_masks_are_right_where_both_are() {
        let nothing = ratios(0, 0, 0, 9);
        assert_eq!((nothing.dice, nothing.iou, nothing.both_empty, nothing.accuracy), (1.0, 1.0, true, Some(1.0)));
        assert_eq!((nothing.sensitivity, nothing.precision, nothing.mcc), (None, None, None));
        for (one, defined) in [(ratios(0, 2, 0, 7), (false, true)), (ratios(0, 0, 2, 7), (true, false))] {
            assert_eq!((one.dice, one.iou, one.both_empty, one.mcc), (0.0, 0.0, false, None));
            assert_eq!((one.sensitivity.is_some(), one.precision.is_some()), defined);
        }
        let no_pixels = ratios(0, 0, 0, 0);
        assert_eq!((no_pixels.accuracy, no_pixels.specificity, no_pixels.both_empty), (None, None, true));
    }

    #[test]
    fn the_correlation_is_exact_for_many_pixels() {
        assert_eq!(ratios(5, 0, 0, 5).mcc, Some(1.0));
        assert_eq!(ratios(0, 5, 5, 0).mcc, Some(-1.0));
        // 1 / sqrt(...): the products differ in their last digit alone.
        let many = 1 << 31;
        let whole = (2.0 * many as f64).powi(2);
        let value = ratios(many, many + 1, many - 1, many).mcc.unwrap_or(0.0);
        assert!((value * whole - 1.0).abs() < 1e-6, "{value}");
    }
}
