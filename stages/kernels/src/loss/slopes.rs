//! The gradient of a sample with one channel.

use super::focal::Focal;
use super::pixel::Pixel;

/// The components of a sample's gradient. Pairs are for the background and for the mask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slopes<'a> {
    /// Factor of `p - y`.
    pub entropy: [f32; 2],
    /// Derivative with respect to the probability, where it is too high and where it is too low: the factor of `p (1 - p)`.
    pub probability: [f32; 2],
    /// The focal terms and their factor.
    pub focal: Option<(Focal<'a>, f32)>,
}

impl Slopes<'_> {
    /// Writes the gradient over logits.
    pub fn write(&self, z: &mut [f32], y: &[u8]) {
        for (z, &y) in z.iter_mut().zip(y) {
            let pixel = Pixel::new(*z, y);
            *z = self.at(pixel, self.probability);
        }
    }

    /// As [`Self::write`], with an additional derivative with respect to each pixel's probability.
    pub fn write_with(&self, z: &mut [f32], y: &[u8], extra: &[f32]) {
        for ((z, &y), extra) in z.iter_mut().zip(y).zip(extra) {
            let pixel = Pixel::new(*z, y);
            *z = self.at(pixel, self.probability.map(|slope| slope + extra));
        }
    }

    #[inline(always)]
    fn at(&self, pixel: Pixel, probability: [f32; 2]) -> f32 {
        let (Pixel { p, q, .. }, entropy) = (pixel, self.entropy);
        let probability = probability[usize::from(pixel.wants_more())];
        let slope = pixel.of([entropy[0] * p, entropy[1] * -q]) + probability * (p * q);
        match self.focal {
            Some((focal, factor)) => slope + factor * focal.slope(pixel),
            None => slope,
        }
    }
}
