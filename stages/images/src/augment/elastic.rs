//! A smooth random field of displacements. It moves nothing itself; `geometry` samples through it.

use pipeline_contract::Rng;
use rand::{RngExt, SeedableRng};

/// Where each pixel is taken from, relative to its own place: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to
/// Visual Document Analysis" (ICDAR 2003). Each pixel draws two numbers from -1 to 1; both fields are smoothed by a Gaussian with zeros beyond
/// the edges, and multiplied by `alpha`, as albumentations and batchgenerators (nnU-Net) do it.
///
/// What a wide Gaussian leaves can be told from fewer points. So there is one every `step` pixels, a quarter of sigma, and its noise is `step` times weaker,
/// which gives the smoothed field the same variance; displacements between the points are linear.
pub(super) struct Field {
    /// Pixels from one point to the next.
    step: usize,
    /// Points in a row.
    columns: usize,
    rows: usize,
    /// Displacements in x and in y, in pixels, `[rows, columns]`.
    shifts: [Vec<f32>; 2],
}

impl Field {
    /// Of an image of `height` x `width`, with alpha and sigma in pixels.
    pub fn new(height: usize, width: usize, alpha: f32, sigma: f32, seed: u64) -> Self {
        let step = step(sigma);
        let [rows, columns] = points(height, width, step);
        let kernel = gaussian(sigma / step as f32, 4.0);
        let mut rng = Rng::seed_from_u64(seed);
        let amplitude = alpha / step as f32;
        let shifts = [(); 2].map(|()| {
            let noise = (0..rows * columns).map(|_| (rng.random::<f32>() * 2.0 - 1.0) * amplitude);
            smoothed(noise.collect(), columns, &kernel)
        });
        Self { step, columns, rows, shifts }
    }

    /// Writes the displacements in x or in y (`axis` 0 or 1) of the pixels of row `y`.
    pub fn row(&self, axis: usize, y: usize, into: &mut [f32]) {
        let step = self.step as f32;
        let (above, share) = (y / self.step, (y % self.step) as f32 / step);
        let below = (above + 1).min(self.rows - 1);
        let [above, below] = [above, below].map(|row| &self.shifts[axis][row * self.columns..][..self.columns]);
        let at = |column: usize| {
            let column = column.min(self.columns - 1);
            above[column] + (below[column] - above[column]) * share
        };
        for (column, pixels) in into.chunks_mut(self.step).enumerate() {
            let (left, right) = (at(column), at(column + 1));
            let slope = (right - left) / step;
            for (x, shift) in pixels.iter_mut().enumerate() {
                *shift = left + slope * x as f32;
            }
        }
    }

    /// Bytes that a field takes while it is made.
    pub fn bytes(pixels: u64, sigma: f32) -> u64 {
        let step = step(sigma) as u64;
        pixels.saturating_mul(3 * 4) / (step * step)
    }
}

fn step(sigma: f32) -> usize {
    ((sigma / 4.0) as usize).max(1)
}

/// Rows and columns of points, so that each pixel lies between two.
fn points(height: usize, width: usize, step: usize) -> [usize; 2] {
    [height, width].map(|side| side.saturating_sub(1).div_ceil(step) + 1)
}

/// Weights of a Gaussian from the middle outwards, as far as `reach` standard deviations; on both sides together they sum to 1.
pub(super) fn gaussian(sigma: f32, reach: f32) -> Vec<f32> {
    let radius = (sigma * reach + 0.5) as usize;
    let weight = |at: usize| if at == 0 { 1.0 } else { libm::expf(-0.5 * (at as f32 / sigma) * (at as f32 / sigma)) };
    let half: Vec<f32> = (0..=radius).map(weight).collect();
    let sum = half[0] + 2.0 * half[1..].iter().sum::<f32>();
    half.into_iter().map(|weight| weight / sum).collect()
}

/// A field convolved with a symmetric kernel in both directions, with zeros beyond the edges.
fn smoothed(mut field: Vec<f32>, columns: usize, kernel: &[f32]) -> Vec<f32> {
    let mut across = vec![0.0; field.len()];
    for (row, out) in field.chunks_exact(columns).zip(across.chunks_exact_mut(columns)) {
        add(out, row, kernel[0]);
        for (at, &weight) in kernel.iter().enumerate().skip(1).take(columns - 1) {
            add(&mut out[at..], &row[..columns - at], weight);
            add(&mut out[..columns - at], &row[at..], weight);
        }
    }
    field.fill(0.0);
    let rows = field.len() / columns;
    for (y, out) in field.chunks_exact_mut(columns).enumerate() {
        let row = |y: usize| &across[y * columns..][..columns];
        add(out, row(y), kernel[0]);
        for (at, &weight) in kernel.iter().enumerate().skip(1) {
            if at <= y {
                add(out, row(y - at), weight);
            }
            if y + at < rows {
                add(out, row(y + at), weight);
            }
        }
    }
    field
}

fn add(onto: &mut [f32], values: &[f32], weight: f32) {
    onto.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field of an image as rows of displacements.
    fn shifts(height: usize, width: usize, alpha: f32, sigma: f32, axis: usize) -> Vec<f32> {
        let field = Field::new(height, width, alpha, sigma, 9);
        let mut all = vec![f32::NAN; height * width];
        all.chunks_exact_mut(width).enumerate().for_each(|(y, row)| field.row(axis, y, row));
        all
    }

    #[test]
    fn a_narrow_field_is_smoothed_noise_times_alpha() {
        let (height, width, alpha, sigma) = (7, 5, 10.0_f64, 1.0_f64);
        let mut rng = Rng::seed_from_u64(9);
        for axis in 0..2 {
            let noise: Vec<f64> = (0..height * width).map(|_| f64::from(rng.random::<f32>() * 2.0 - 1.0)).collect();
            let weight = |distance: i64| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
            let sum: f64 = (-4..=4).map(weight).sum();
            for (at, shift) in shifts(height, width, alpha as f32, sigma as f32, axis).into_iter().enumerate() {
                let (y, x) = ((at / width) as i64, (at % width) as i64);
                let mut expected = 0.0;
                for (from, value) in noise.iter().enumerate() {
                    let (down, right) = ((from / width) as i64 - y, (from % width) as i64 - x);
                    if down.abs() <= 4 && right.abs() <= 4 {
                        expected += value * weight(down) * weight(right) / (sum * sum);
                    }
                }
                assert!((f64::from(shift) - expected * alpha).abs() < 1e-4, "{shift}, not {}", expected * alpha);
            }
        }
    }

    #[test]
    fn pixels_move_as_far_as_is_said_whatever_the_step() {
        for (alpha, sigma) in [(40.0, 2.0), (200.0, 10.0), (340.0, 17.0)] {
            let all = shifts(400, 400, alpha, sigma, 1);
            // Away from the edges, where the zeros beyond reach.
            let inner = all.chunks_exact(400).skip(70).take(260).flat_map(|row| &row[70..330]);
            let (count, squares) = inner.fold((0.0, 0.0), |(n, sum), &shift| (n + 1.0, sum + f64::from(shift).powi(2)));
            let (deviation, expected) = ((squares / count).sqrt(), 0.163 * f64::from(alpha / sigma));
            assert!((deviation / expected - 1.0).abs() < 0.15, "sigma {sigma}: {deviation}, not {expected}");
            let steepest = all.chunks_exact(400).flat_map(|row| row.windows(2)).map(|two| (two[1] - two[0]).abs());
            assert!(steepest.fold(0.0, f32::max) < 5.0 * expected as f32 / sigma, "sigma {sigma} is not smooth");
        }
    }

    #[test]
    fn any_size_has_a_field() {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (7, 5)] {
            for sigma in [1.0, 9.0, 500.0] {
                assert!(shifts(height, width, 100.0, sigma, 0).iter().all(|shift| shift.is_finite()));
            }
        }
    }
}
