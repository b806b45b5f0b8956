//! The exponential moving average of weights, in place.

use rayon::prelude::*;

/// Values per task.
const PART: usize = 1 << 14;

/// Moves an average towards the weights: `average += share * (weight - average)`, which is `(1 - share) * average + share *
/// weight`. Written as a difference, as TensorFlow and diffusers do, an average of weights that stay the same stays the same:
/// the rounded factors `1 - share` and `share` needn't add up to one.
///
/// # Panics
/// When the lengths differ.
pub fn average(average: &mut [f32], weight: &[f32], share: f32) {
    assert_eq!(average.len(), weight.len(), "the lengths");
    average.par_chunks_mut(PART).zip(weight.par_chunks(PART)).for_each(|(average, weight)| {
        for (average, weight) in average.iter_mut().zip(weight) {
            *average += (weight - *average) * share;
        }
    });
}
