//! Percentiles between values, as numpy computes them unless told otherwise.

use std::cmp::Ordering;

/// The percentile of values in any order, interpolated linearly between the two nearest; `None` without values. `percent` is from
/// 0 to 100. Changes the values' order.
pub(crate) fn percentile<T: Copy>(
    values: &mut [T],
    percent: f64,
    order: impl Fn(&T, &T) -> Ordering,
    number: impl Fn(T) -> f64,
) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let place = last as f64 * (percent / 100.0);
    let below = (place as usize).min(last);
    let (_, &mut low, above) = values.select_nth_unstable_by(below, &order);
    let high = above.iter().copied().min_by(&order).unwrap_or(low);
    let (low, high) = (number(low), number(high));
    Some(low + (high - low) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_are_interpolated() {
        let of = |values: &[f64], percent| percentile(&mut values.to_vec(), percent, f64::total_cmp, |value| value);
        assert_eq!(of(&[], 50.0), None);
        assert_eq!(of(&[7.0], 95.0), Some(7.0));
        assert_eq!(of(&[3.0, 1.0, 2.0, 4.0], 50.0), Some(2.5));
        assert_eq!((of(&[3.0, 1.0, 2.0], 0.0), of(&[3.0, 1.0, 2.0], 100.0)), (Some(1.0), Some(3.0)));
        let ten: Vec<f64> = (0..11).rev().map(f64::from).collect();
        assert_eq!(of(&ten, 95.0), Some(9.5));
    }
}
