//! What the network said of an image: logits, or, where several of its predictions were averaged, probabilities.

use crate::sliding::to_probabilities;

/// One number a pixel and class, `[classes, height, width]`.
#[derive(Debug, Clone)]
pub(in crate::stages) enum NetworkOutput {
    /// As the network gives them.
    Logits(Vec<f32>),
    /// The mean of several predictions.
    Probabilities(Vec<f32>),
}

impl NetworkOutput {
    /// Its numbers. Of either, the most probable class has the largest.
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Logits(values) | Self::Probabilities(values) => values,
        }
    }

    /// Probabilities, made in place.
    pub fn probabilities(self, classes: usize) -> Vec<f32> {
        match self {
            Self::Probabilities(values) => values,
            Self::Logits(mut values) => {
                to_probabilities(&mut values, classes);
                values
            }
        }
    }
}
