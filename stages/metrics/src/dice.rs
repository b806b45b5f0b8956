//! The mean over images of each image's Dice, which papers usually call Dice, as opposed to Dice over pooled pixels.
//! `Confusion` computes the Dice of one image.

use crate::Confusion;

/// The mean Dice over images.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MeanDice {
    sum: f64,
    images: u64,
}

impl MeanDice {
    /// Adds one image.
    pub fn add(&mut self, image: &Confusion) {
        self.sum += image.dice();
        self.images += 1;
    }

    /// Continues with a saved sum over `images` images.
    pub fn resume(sum: f64, images: u64) -> Self {
        Self { sum, images }
    }

    /// The sum of Dice over the images.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The number of images.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// The mean; `None` without images.
    pub fn value(&self) -> Option<f64> {
        (self.images > 0).then(|| self.sum / self.images as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_weighs_the_same() {
        let mut mean = MeanDice::default();
        assert_eq!(mean.value(), None);
        mean.add(&Confusion { true_positive: 1000, ..Confusion::default() });
        mean.add(&Confusion { true_positive: 1, false_positive: 1, false_negative: 1, true_negative: 0 });
        assert_eq!((mean.value(), mean.images()), (Some(0.75), 2));
    }
}
