//! Additive Gaussian noise, a number of its own for each value of an image.

use std::sync::OnceLock;

use pipeline_contract::Rng;
use rand::{Rng as _, SeedableRng};

/// Entries of the table of the Gaussian; a power of 2.
const ENTRIES: usize = 1 << 12;

/// Adds noise of the standard deviation `deviation`, of values from 0 to 1, to an image.
///
/// Each value takes its number from a table of 4096 quantiles of the Gaussian, the outermost at 3.7 standard deviations: finer than 8 bits show.
pub(super) fn add_noise(image: &mut [u8], deviation: f32, seed: u64) {
    let scale = deviation * 255.0;
    let mut rng = Rng::seed_from_u64(seed);
    let table = quantiles();
    let noisy = |value: u8, bits: u32| {
        let noise = table[bits as usize % ENTRIES] * scale;
        // A cast keeps what lies beyond 0 and 255 there.
        (f32::from(value) + noise + 0.5) as u8
    };
    for two in image.chunks_mut(2) {
        let bits = rng.next_u32();
        two.iter_mut().zip([bits, bits >> 16]).for_each(|(value, bits)| *value = noisy(*value, bits));
    }
}

/// The Gaussian's quantiles at the middles of equal shares, with a standard deviation of exactly 1.
fn quantiles() -> &'static [f32; ENTRIES] {
    static TABLE: OnceLock<[f32; ENTRIES]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let half: Vec<f64> = (0..ENTRIES / 2).map(|at| quantile((at as f64 + 0.5) / ENTRIES as f64)).collect();
        let deviation = libm::sqrt(2.0 * half.iter().map(|value| value * value).sum::<f64>() / ENTRIES as f64);
        std::array::from_fn(|at| match half.get(at) {
            Some(value) => (value / deviation) as f32,
            None => (-half[ENTRIES - 1 - at] / deviation) as f32,
        })
    })
}

/// The quantile of a share below one half: where the Gaussian's distribution function has this value, by bisection.
fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 0.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        if below < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_gaussian() {
        let table = quantiles();
        assert!((table.iter().map(|&value| f64::from(value)).sum::<f64>()).abs() < 1e-3);
        // scipy.stats.norm.ppf((at + 0.5) / 4096)
        for (at, expected) in [(0, -3.669), (93, -2.0018), (409, -1.2824), (1024, -0.6741), (2048, 0.0003), (4095, 3.669)] {
            assert!((table[at] - expected).abs() < 0.004, "{at}: {}", table[at]);
        }
    }

    #[test]
    fn noise_has_its_deviation_and_each_seed_its_own() {
        let noisy = |deviation: f32, seed: u64| {
            let mut image = vec![128; 30_001];
            add_noise(&mut image, deviation, seed);
            image
        };
        let image = noisy(0.05, 1);
        let differences = image.iter().map(|&value| f64::from(value) - 128.0);
        let mean = differences.clone().sum::<f64>() / image.len() as f64;
        let deviation = (differences.map(|value| value * value).sum::<f64>() / image.len() as f64).sqrt();
        assert!(mean.abs() < 0.3, "{mean}");
        assert!((deviation - 0.05 * 255.0).abs() < 0.3, "{deviation}");
        assert_eq!(image, noisy(0.05, 1));
        assert_ne!(image, noisy(0.05, 2));
        assert_eq!(noisy(0.0, 1), vec![128; 30_001]);
        // Channels, and the two values of one draw, are independent.
        let product = |step: usize| {
            let two = image.iter().zip(&image[step..]).map(|(&a, &b)| (f64::from(a) - 128.0) * (f64::from(b) - 128.0));
            two.sum::<f64>() / image.len() as f64 / (deviation * deviation)
        };
        assert!(product(1).abs() < 0.03 && product(3).abs() < 0.03, "{} {}", product(1), product(3));
    }

    #[test]
    fn what_leaves_the_range_stays_at_its_end() {
        let mut image = [[0; 500], [255; 500]].concat();
        add_noise(&mut image, 0.5, 3);
        assert!(image[..500].contains(&0) && image[500..].contains(&255));
    }
}
