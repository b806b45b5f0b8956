//! Logits to probabilities, in place.

/// Turns the logits of an image, `[classes, height, width]`, into probabilities: with one class by the sigmoid, with several by softmax over the classes.
///
/// ```
/// use pipeline_training::sliding::to_probabilities;
///
/// // Two classes of two pixels.
/// let mut values = [0.0, 1000.0, 0.0, 0.0];
/// to_probabilities(&mut values, 2);
/// assert_eq!(values, [0.5, 1.0, 0.5, 0.0]);
/// ```
pub fn to_probabilities(values: &mut [f32], classes: usize) {
    if classes <= 1 {
        values.iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
        return;
    }
    let pixels = values.len() / classes;
    for pixel in 0..pixels {
        let of = |class: usize| class * pixels + pixel;
        let largest = (0..classes).map(|class| values[of(class)]).fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for class in 0..classes {
            let power = (values[of(class)] - largest).exp();
            values[of(class)] = power;
            sum += power;
        }
        (0..classes).for_each(|class| values[of(class)] /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_a_softmax_over_the_classes() {
        let logits = [1000.0, 0.0, 1000.0, 3.0_f32.ln(), -1000.0, f32::NEG_INFINITY];
        let mut probabilities = logits.to_vec();
        to_probabilities(&mut probabilities, 3);
        for (probability, expected) in probabilities.iter().zip([0.5, 0.25, 0.5, 0.75, 0.0, 0.0]) {
            assert!((probability - expected).abs() < 1e-6, "{probabilities:?}");
        }
    }
}
