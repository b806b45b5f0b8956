//! The mean over images of each image's Dice: what papers call Dice, as opposed to the pooled one.
//! The Dice of one image is `Confusion`'s.

use super::Confusion;

/// The mean over images of Dice.
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

    /// Goes on with the sum over so many images.
    pub fn resume(sum: f64, images: u64) -> Self {
        Self { sum, images }
    }

    /// The sum over the images.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// How many images there were.
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
