//! The Tversky loss and its power, the focal Tversky loss, from a sample's sums.

use super::dice::EPSILON;
use super::sums::Sums;

/// One minus the Tversky index, which is `errors / total`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tversky {
    /// Weight of false positives.
    alpha: f64,
    /// Weight of false negatives.
    beta: f64,
    /// `TP + eps`.
    hits: f64,
    /// `alpha FP + beta FN`: summed separately, so that a small loss isn't lost to cancellation.
    errors: f64,
}

impl Tversky {
    pub fn new(sums: &Sums, alpha: f32, beta: f32) -> Self {
        let (alpha, beta) = (f64::from(alpha), f64::from(beta));
        let errors = alpha * sums.false_positives + beta * sums.false_negatives;
        Self { alpha, beta, hits: sums.overlap + EPSILON, errors }
    }

    pub fn value(self) -> f64 {
        self.errors / (self.hits + self.errors)
    }

    /// The derivative with respect to a probability that is above the mask's part of the pixel, and to one below, times `scale`.
    pub fn slopes(self, scale: f64) -> [f32; 2] {
        let scale = scale / (self.hits + self.errors).powi(2);
        [scale * self.alpha * self.hits, -scale * (self.errors + self.beta * self.hits)].map(|slope| slope as f32)
    }

    /// `value^(1 / gamma)`.
    pub fn focal_value(self, gamma: f32) -> f64 {
        self.value().powf(1.0 / f64::from(gamma))
    }

    /// As [`Self::slopes`], for [`Self::focal_value`], which has no derivative at 0, where the masks are equal: 0 is used
    /// there.
    pub fn focal_slopes(self, gamma: f32, scale: f64) -> [f32; 2] {
        let (value, exponent) = (self.value(), 1.0 / f64::from(gamma));
        if value == 0.0 { [0.0; 2] } else { self.slopes(scale * exponent * value.powf(exponent - 1.0)) }
    }
}
