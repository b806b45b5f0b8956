//! Sums and checks of flat float32 values, such as all gradients together.

use rayon::prelude::*;

use crate::dispatch::{Kernel, widest};
use crate::rows::{ROW, sum_of};

/// Values per task.
const PART: usize = 64 * ROW;

/// The sum of squares: the square of the norm that clipping compares with its limit.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let parts: Vec<f64> = x.par_chunks(PART).map(|part| widest(Squares(part))).collect();
    parts.iter().sum()
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let mut total = 0.0;
        for row in self.0.chunks(ROW) {
            total += sum_of(row, |value| value * value);
        }
        total
    }
}

/// `into += x`.
///
/// # Panics
/// When the lengths differ.
pub fn add(into: &mut [f32], x: &[f32]) {
    assert_eq!(into.len(), x.len(), "the lengths");
    into.par_chunks_mut(PART).zip(x.par_chunks(PART)).for_each(|(into, x)| {
        for (into, x) in into.iter_mut().zip(x) {
            *into += x;
        }
    });
}

/// Whether no value is infinite or NaN.
pub fn all_finite(x: &[f32]) -> bool {
    x.par_chunks(PART).all(|part| part.chunks(ROW).all(|row| row.iter().fold(true, |finite, x| finite & x.is_finite())))
}
