//! Figures of a segmentation into several classes: each class against all others, pooled and image by image.
//! Pixels whose label isn't a class, such as 255, aren't counted.

use crate::{Confusion, MeanDice};

/// One class against all others.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OneClass {
    /// The counts over the pixels of all images.
    pub pooled: Confusion,
    /// The mean over images of each image's Dice.
    pub dice: MeanDice,
}

/// The figures of each class, in the order of the class numbers; class 0 is the background.
#[derive(Debug, Clone, PartialEq)]
pub struct PerClass(Vec<OneClass>);

impl PerClass {
    /// Figures for `classes` classes, before the first image.
    pub fn new(classes: usize) -> Self {
        Self(vec![OneClass::default(); classes])
    }

    /// Continues with saved figures of each class.
    pub fn resume(classes: Vec<OneClass>) -> Self {
        Self(classes)
    }

    /// Adds an image, given as class numbers, `[height, width]` each. Pixels whose label isn't a class are left out.
    pub fn add(&mut self, predicted: &[u8], labels: &[u8]) {
        let count = self.0.len();
        // For each class: pixels found (predicted and labelled), predicted, labelled.
        let mut pixels = vec![[0_u64; 3]; count];
        let mut all = 0;
        for (&predicted, &label) in predicted.iter().zip(labels) {
            let (predicted, label) = (usize::from(predicted), usize::from(label));
            if label < count && predicted < count {
                pixels[label][0] += u64::from(predicted == label);
                pixels[predicted][1] += 1;
                pixels[label][2] += 1;
                all += 1;
            }
        }
        for (class, [found, predicted, labelled]) in self.0.iter_mut().zip(pixels) {
            let image = Confusion {
                true_positive: found,
                false_positive: predicted - found,
                false_negative: labelled - found,
                true_negative: all + found - predicted - labelled,
            };
            class.pooled.add(image);
            class.dice.add(&image);
        }
    }

    /// The figures of each class.
    pub fn classes(&self) -> &[OneClass] {
        &self.0
    }

    /// The number of images.
    pub fn images(&self) -> u64 {
        self.0.first().map_or(0, |class| class.dice.images())
    }

    /// The share of the labelled pixels that were predicted correctly; `None` without labelled pixels.
    pub fn accuracy(&self) -> Option<f64> {
        let all = self.0.first()?.pooled.pixels();
        let right: u64 = self.0.iter().map(|class| class.pooled.true_positive).sum();
        (all > 0).then(|| right as f64 / all as f64)
    }

    /// The mean of a figure over all classes except the background and those for which it is undefined.
    pub fn mean(&self, figure: impl Fn(&OneClass) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.0.iter().skip(1).filter_map(figure).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

/// The class with the largest logit at each pixel; of equal logits, the first. `logits` is `[classes, height, width]` with
/// at most 256 classes, the result `[height, width]`.
pub fn argmax(logits: &[f32], classes: usize) -> Vec<u8> {
    let pixels = logits.len() / classes.max(1);
    let mut planes = logits.chunks_exact(pixels.max(1));
    let mut largest = planes.next().map(<[f32]>::to_vec).unwrap_or_default();
    let mut class_of = vec![0; largest.len()];
    for (class, plane) in (1..=u8::MAX).zip(planes) {
        for ((largest, class_of), &logit) in largest.iter_mut().zip(&mut class_of).zip(plane) {
            let replaces = logit > *largest;
            *largest = if replaces { logit } else { *largest };
            *class_of = if replaces { class } else { *class_of };
        }
    }
    class_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_counted_against_the_rest() {
        let mut figures = PerClass::new(3);
        // found: 0, 1, 2, 2; the 255 isn't counted
        figures.add(&[0, 1, 2, 2, 1, 0, 1], &[0, 1, 2, 2, 2, 1, 255]);
        let confusions: Vec<[u64; 4]> = figures
            .classes()
            .iter()
            .map(|OneClass { pooled, .. }| {
                [pooled.true_positive, pooled.false_positive, pooled.false_negative, pooled.true_negative]
            })
            .collect();
        assert_eq!(confusions, [[1, 1, 0, 4], [1, 1, 1, 3], [2, 0, 1, 3]]);
        assert_eq!(figures.accuracy(), Some(4.0 / 6.0));
        let dice = |class: &OneClass| class.dice.value();
        assert_eq!(figures.mean(dice), Some((0.5 + 0.8) / 2.0), "without the background's 2 / 3");
    }

    #[test]
    fn the_mean_is_over_images_and_then_over_the_classes_that_have_a_figure() {
        let mut figures = PerClass::new(3);
        figures.add(&[1, 1, 0, 0], &[1, 1, 0, 0]);
        figures.add(&[1, 0, 0, 0], &[0, 1, 0, 0]);
        assert_eq!((figures.images(), figures.classes()[1].dice.value()), (2, Some(0.5)));
        // Class 2 is in no image: its Dice is 0, like that of a binary mask without vessel, and its intersection over union
        // is undefined.
        assert_eq!((figures.classes()[2].dice.value(), figures.classes()[2].pooled.iou()), (Some(0.0), None));
        assert_eq!(figures.mean(|class| class.dice.value()), Some(0.25));
        assert_eq!(figures.mean(|class| class.pooled.iou()), Some(0.5));
        let mut ignored = PerClass::new(2);
        ignored.add(&[1; 3], &[255; 3]);
        assert_eq!((ignored.images(), ignored.accuracy(), ignored.mean(|class| class.pooled.iou())), (1, None, None));
    }

    #[test]
    fn two_classes_have_the_figures_of_a_binary_mask() {
        let (predicted, labels) = ([1, 1, 0, 0, 1, 0], [1, 0, 1, 0, 1, 0]);
        let mut figures = PerClass::new(2);
        figures.add(&predicted, &labels);
        let binary = Confusion::of(predicted.iter().zip(&labels).map(|(&p, &l)| (p == 1, l == 1)));
        assert_eq!(figures.classes()[1].pooled, binary);
        assert_eq!(figures.accuracy(), binary.accuracy());
        assert_eq!(figures.mean(|class| class.dice.value()), Some(binary.dice()));
    }

    #[test]
    fn the_largest_logit_is_the_class_and_of_equal_ones_the_first() {
        // [classes, pixels]: three classes of four pixels.
        let logits = [0.0, 1.0, 2.0, f32::NAN, 0.5, 1.0, -1.0, 0.0, -0.5, 3.0, 2.0, 9.0];
        assert_eq!(argmax(&logits, 3), [1, 2, 0, 0]);
        assert_eq!(argmax(&[], 3), [0; 0]);
        let many: Vec<f32> = (0..255_u8).map(f32::from).collect();
        assert_eq!(argmax(&many, 255), [254]);
    }
}
