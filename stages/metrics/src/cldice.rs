//! Centreline Dice: whether the lines of the vessels are found, however thick they are.

use crate::{Mask, skeleton};

/// clDice (Shit et al., CVPR 2021) of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClDice {
    /// Share of the prediction's skeleton that is in the truth; `None` without one.
    pub precision: Option<f64>,
    /// Share of the truth's skeleton that is in the prediction; `None` without one.
    pub sensitivity: Option<f64>,
    /// Their harmonic mean; 0 where one is 0 or undefined, 1 where both masks are empty.
    pub value: f64,
}

impl ClDice {
    /// Compares two masks, both `[height, width]`.
    ///
    /// # Panics
    /// Unless they have the same size.
    pub fn of(prediction: &Mask, truth: &Mask) -> Self {
        assert_eq!((prediction.height(), prediction.width()), (truth.height(), truth.width()), "the masks' sizes");
        let (precision, sensitivity) = rayon::join(|| share(prediction, truth), || share(truth, prediction));
        let value = match (precision, sensitivity) {
            (Some(precision), Some(sensitivity)) if precision > 0.0 && sensitivity > 0.0 => {
                2.0 * precision * sensitivity / (precision + sensitivity)
            }
            (None, None) if prediction.is_empty() && truth.is_empty() => 1.0,
            _ => 0.0,
        };
        Self { precision, sensitivity, value }
    }
}

/// The share of a mask's skeleton that is in another mask.
fn share(thinned: &Mask, other: &Mask) -> Option<f64> {
    let (mut length, mut inside) = (0_u64, 0_u64);
    for (&line, &other) in skeleton(thinned).iter().zip(other.pixels()) {
        length += u64::from(line);
        inside += u64::from(line != 0 && other != 0);
    }
    (length > 0).then(|| inside as f64 / length as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_without_vessel_agree_with_each_other_alone() {
        let (none, some) = ([0; 12], [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
        let of = |a: &[u8], b: &[u8]| ClDice::of(&Mask::new(3, 4, a), &Mask::new(3, 4, b));
        assert_eq!(of(&none, &none), ClDice { precision: None, sensitivity: None, value: 1.0 });
        assert_eq!(of(&none, &some), ClDice { precision: None, sensitivity: Some(0.0), value: 0.0 });
        assert_eq!(of(&some, &none), ClDice { precision: Some(0.0), sensitivity: None, value: 0.0 });
        assert_eq!(of(&some, &some).value, 1.0);
    }

    #[test]
    fn a_thicker_vessel_has_the_same_line() {
        let row = |rows: std::ops::Range<usize>| (0..9 * 40).map(|at| u8::from(rows.contains(&(at / 40)))).collect::<Vec<u8>>();
        let (thin, thick) = (row(3..6), row(2..7));
        let figures = ClDice::of(&Mask::new(9, 40, &thick), &Mask::new(9, 40, &thin));
        assert_eq!((figures.precision, figures.sensitivity, figures.value), (Some(1.0), Some(1.0), 1.0));
    }
}
