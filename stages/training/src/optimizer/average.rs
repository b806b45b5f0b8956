//! The decay of the weights' exponential moving average. The trainee holds the average; the backends do the arithmetic.

/// The share of the weights in their average after a step: `1 - min(decay, (1 + n) / (10 + n))` after `n` earlier updates. The
/// average forgets fast at first, while the weights still move far. It is the decay of TensorFlow's
/// `tf.train.ExponentialMovingAverage` with `num_updates`, and of the EMA in diffusers' `training_utils`.
pub(super) fn share(decay: f64, updates: u64) -> f64 {
    let updates = updates as f64;
    1.0 - decay.min((1.0 + updates) / (10.0 + updates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_updates_forget_faster() {
        assert_eq!([0, 8, 1_000_000].map(|updates| 1.0 - share(0.5, updates)), [1.0 - 0.9, 0.5, 0.5]);
        assert!((share(0.999, 90) - 0.09).abs() < 1e-12);
        assert!((share(0.999, u64::MAX) - 0.001).abs() < 1e-12);
    }
}
