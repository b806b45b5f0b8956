//! How sure a mean over a few images is.

use pipeline_contract::stage_rng;
use rand::RngExt as _;

use crate::percentile::percentile;

/// The 95% percentile interval of the mean (Efron 1979): from the 2.5th to the 97.5th percentile of the means of `resamples` sets, each of as
/// many values drawn with replacement. `None` for fewer than two values, or without resamples.
///
/// The same values, seed and number give the same interval on every machine. 2,000 resamples are usual.
pub fn bootstrap(values: &[f64], seed: u64, resamples: usize) -> Option<[f64; 2]> {
    if values.len() < 2 {
        return None;
    }
    let mut rng = stage_rng(seed, 0, "mean", "bootstrap");
    // 64 bits on every machine, so that the same values are drawn.
    let count = values.len() as u64;
    let mut mean = || (0..count).map(|_| values[rng.random_range(0..count) as usize]).sum::<f64>() / count as f64;
    let mut means: Vec<f64> = (0..resamples).map(|_| mean()).collect();
    let mut bound = |percent| percentile(&mut means, percent, f64::total_cmp, |mean| mean);
    Some([bound(2.5)?, bound(97.5)?])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_the_normal_one_for_many_values() {
        // Uniform on 0..1: the mean of 400 has the standard deviation sqrt(1 / 12 / 400).
        let values: Vec<f64> = (0..400).map(|at| (f64::from(at) + 0.5) / 400.0).collect();
        let [low, high] = bootstrap(&values, 1, 2000).unwrap();
        let half = 1.96 * (1.0_f64 / 12.0 / 400.0).sqrt();
        assert!((low - (0.5 - half)).abs() < 0.1 * half && (high - (0.5 + half)).abs() < 0.1 * half, "{low} {high} {half}");
    }

    #[test]
    fn a_seed_is_an_interval() {
        let values = [0.81, 0.79, 0.9, 0.4, 0.85];
        assert_eq!(bootstrap(&values, 42, 2000), bootstrap(&values, 42, 2000));
        assert_ne!(bootstrap(&values, 42, 2000), bootstrap(&values, 43, 2000));
        let [low, high] = bootstrap(&values, 42, 2000).unwrap();
        assert!(low > 0.4 && low < 0.75 && high > 0.75 && high < 0.9, "{low} {high}");
        assert_eq!((bootstrap(&[], 1, 2000), bootstrap(&[0.5], 1, 2000), bootstrap(&values, 1, 0)), (None, None, None));
        assert_eq!(bootstrap(&[0.5; 3], 1, 2000), Some([0.5; 2]));
    }
}
