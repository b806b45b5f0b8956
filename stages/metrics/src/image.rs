//! All figures of one image.

use crate::{Betti, ClDice, Confusion, Mask, Ranking, Ratios, hausdorff95};
use crate::{betti, hausdorff, skeleton};

/// A prediction for an image and what is true.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Each pixel's probability of being vessel, `[height, width]`.
    pub probabilities: &'a [f32],
    /// The mask, `[height, width]`: 1 is vessel, 0 background.
    pub truth: &'a [u8],
    /// The field of view, `[height, width]`: 1 is inside, 0 outside. All pixels are inside without one.
    pub inside: Option<&'a [u8]>,
}

/// The figures of one image. `None` is undefined.
///
/// Counts, the ratios that follow from them, AUC and average precision are over the pixels inside the field of view. For the figures of shapes (clDice, Betti
/// numbers, Hausdorff) everything outside is background in both masks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageFigures {
    /// Pixels by prediction and truth.
    pub counts: Confusion,
    /// What follows from the counts.
    pub ratios: Ratios,
    /// Area under the ROC curve; `None` where the truth has one class.
    pub auc: Option<f64>,
    /// `None` without vessel.
    pub average_precision: Option<f64>,
    /// Centreline Dice; 1 where both masks are empty.
    pub cldice: f64,
    /// The difference between the numbers of components.
    pub betti0_error: u64,
    /// The difference between the numbers of holes.
    pub betti1_error: u64,
    /// Hausdorff distance at the 95th percentile, in pixels; `None` where a mask is empty.
    pub hausdorff95: Option<f64>,
}

impl ImageFigures {
    /// Computes all figures; a pixel is predicted as vessel where its probability is above `threshold`. Independent figures are computed
    /// in parallel on rayon's current pool. Takes at most [`workspace`] bytes.
    ///
    /// # Panics
    /// Unless all slices have `height * width` elements, at most 2^30.
    pub fn of(image: &Image, threshold: f32) -> Self {
        let Image { height, width, probabilities, truth, inside } = *image;
        assert_eq!(probabilities.len(), truth.len(), "a probability for each pixel");
        assert!(inside.is_none_or(|inside| inside.len() == truth.len()), "the field of view's size");
        let predicted = masked(probabilities, inside, |p| p > threshold);
        let actual = masked(truth, inside, |pixel| pixel != 0);
        let (prediction, mask) = (Mask::new(height, width, &predicted), Mask::new(height, width, &actual));
        let rank = || {
            let mut ranking = Ranking::default();
            ranking.add(probabilities, truth, inside);
            ranking.finish()
        };
        let betti = || [Betti::of(&prediction), Betti::of(&mask)];
        let (ranked, (cldice, (hausdorff95, [found, there]))) = rayon::join(rank, || {
            rayon::join(|| ClDice::of(&prediction, &mask), || rayon::join(|| hausdorff95(&prediction, &mask), betti))
        });
        let pixels = predicted.iter().zip(&actual).map(|(&predicted, &actual)| (predicted != 0, actual != 0));
        let mut counts = Confusion::of(pixels);
        // Outside, both masks are background.
        counts.true_negative -= inside.map_or(0, |inside| inside.iter().filter(|&&inside| inside == 0).count() as u64);
        Self {
            counts,
            ratios: Ratios::of(&counts),
            auc: ranked.auc,
            average_precision: ranked.average_precision,
            cldice: cldice.value,
            betti0_error: found.components.abs_diff(there.components),
            betti1_error: found.holes.abs_diff(there.holes),
            hausdorff95,
        }
    }
}

/// Which pixels are vessel and inside the field of view: 1, else 0.
fn masked<T: Copy>(pixels: &[T], inside: Option<&[u8]>, is_vessel: impl Fn(T) -> bool) -> Vec<u8> {
    let mut mask: Vec<u8> = pixels.iter().map(|&pixel| u8::from(is_vessel(pixel))).collect();
    for (pixel, &inside) in mask.iter_mut().zip(inside.unwrap_or_default()) {
        *pixel &= u8::from(inside != 0);
    }
    mask
}

/// Bytes that [`ImageFigures::of`] takes at most for an image of this size, beside the image: about 20 a pixel.
pub fn workspace(height: usize, width: usize) -> u64 {
    let (height, width) = (height as u64, width as u64);
    let masks = 2 * height * width;
    masks
        + Ranking::workspace(height * width)
        + 2 * skeleton::workspace(height, width)
        + hausdorff::workspace(height, width)
        + betti::workspace(width)
}

/// The mean over the images for which a figure is defined; `None` if there are none.
pub fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.into_iter().flatten().fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_background_and_does_not_count() {
        let probabilities = [0.9, 0.2, 0.6, 0.5, 0.1, 0.8];
        let truth = [1, 0, 0, 1, 0, 1];
        let inside = [1, 1, 1, 1, 0, 0];
        let image = Image { height: 2, width: 3, probabilities: &probabilities, truth: &truth, inside: Some(&inside) };
        let figures = ImageFigures::of(&image, 0.5);
        let counts = Confusion { true_positive: 1, false_positive: 1, false_negative: 1, true_negative: 1 };
        assert_eq!((figures.counts, figures.ratios.dice, figures.auc), (counts, 0.5, Some(0.75)));
        assert_eq!((figures.betti0_error, figures.betti1_error), (1, 0));
        let nothing = ImageFigures::of(&Image { inside: Some(&[0; 6]), ..image }, 0.5);
        assert_eq!((nothing.ratios.both_empty, nothing.ratios.dice, nothing.cldice), (true, 1.0, 1.0));
        assert_eq!((nothing.ratios.accuracy, nothing.auc, nothing.hausdorff95), (None, None, None));
        let no_pixels = Image { height: 0, width: 4, probabilities: &[], truth: &[], inside: None };
        assert_eq!(ImageFigures::of(&no_pixels, 0.5).counts.pixels(), 0);
    }

    #[test]
    fn undefined_figures_are_left_out_of_means() {
        assert_eq!(mean([Some(1.0), None, Some(0.5)]), Some(0.75));
        assert_eq!(mean([None]), None);
    }
}
