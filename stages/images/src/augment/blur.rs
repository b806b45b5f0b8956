//! A Gaussian blur of an image, in place, holding as many of its rows as the Gaussian spans.

use super::clahe::reflected;
use super::elastic::gaussian;

/// Blurs RGB `[height, width, 3]`. Edges are reflected about the outermost pixels, and the Gaussian ends after three standard deviations.
pub(super) fn blur(image: &mut [u8], height: usize, width: usize, sigma: f32) {
    let kernel = gaussian(sigma.max(1e-3), 3.0);
    let radius = kernel.len() - 1;
    if radius == 0 || height == 0 || width == 0 {
        return;
    }
    let row_length = width * 3;
    let held = height.min(2 * radius + 1);
    // Rows blurred along x; row y is at y % held.
    let mut rows = vec![0.0; held * row_length];
    let mut wide = vec![0.0; (width + 2 * radius) * 3];
    let mut sum = vec![0.0; row_length];
    let mut ready = 0;
    for y in 0..height {
        while ready < height.min(y + radius + 1) {
            let row = &image[ready * row_length..][..row_length];
            along(row, &kernel, &mut wide, &mut rows[ready % held * row_length..][..row_length]);
            ready += 1;
        }
        sum.fill(0.5);
        for (at, &weight) in kernel.iter().enumerate() {
            // Above the image, reflection is about row 0.
            let both = [y.abs_diff(at), y + at].map(|y| &rows[reflected(y, height) % held * row_length..][..row_length]);
            if at == 0 {
                sum.iter_mut().zip(both[0]).for_each(|(sum, value)| *sum += weight * value);
            } else {
                let pairs = both[0].iter().zip(both[1]);
                sum.iter_mut().zip(pairs).for_each(|(sum, (above, below))| *sum += weight * (above + below));
            }
        }
        let out = &mut image[y * row_length..][..row_length];
        out.iter_mut().zip(&sum).for_each(|(value, &sum)| *value = sum as u8);
    }
}

/// Blurs a row along x, by way of a copy that is widened by its reflections.
fn along(row: &[u8], kernel: &[f32], wide: &mut [f32], out: &mut [f32]) {
    let (width, radius) = (row.len() / 3, kernel.len() - 1);
    for (x, pixel) in wide.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let from = reflected(x.abs_diff(radius), width);
        pixel.iter_mut().zip(&row[from * 3..]).for_each(|(wide, &value)| *wide = f32::from(value));
    }
    out.fill(0.0);
    for (at, &weight) in kernel.iter().enumerate() {
        let [before, after] = [radius - at, radius + at].map(|shift| &wide[shift * 3..][..out.len()]);
        if at == 0 {
            out.iter_mut().zip(before).for_each(|(sum, value)| *sum += weight * value);
        } else {
            let pairs = before.iter().zip(after);
            out.iter_mut().zip(pairs).for_each(|(sum, (before, after))| *sum += weight * (before + after));
        }
    }
}

/// Bytes that a blur takes.
pub(super) fn bytes(height: u64, width: u64, sigma: f32) -> u64 {
    let rows = height.min(2 * (3.0 * sigma + 0.5) as u64 + 1) + 3;
    rows.saturating_mul(width).saturating_mul(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The blur by its definition, in float64.
    fn expected(image: &[u8], height: usize, width: usize, sigma: f64) -> Vec<f64> {
        let radius = (3.0 * sigma + 0.5) as i64;
        let weights: Vec<f64> = (-radius..=radius).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        let inside = |mut at: i64, side: usize| {
            let last = side as i64 - 1;
            while last > 0 && !(0..=last).contains(&at) {
                at = if at < 0 { -at } else { 2 * last - at };
            }
            if last == 0 { 0 } else { at as usize }
        };
        let mut out = Vec::new();
        for at in 0..height * width * 3 {
            let (y, x, channel) = ((at / 3 / width) as i64, (at / 3 % width) as i64, at % 3);
            let mut value = 0.0;
            for (down, by_row) in (-radius..).zip(&weights) {
                for (right, by_column) in (-radius..).zip(&weights) {
                    let place = inside(y + down, height) * width + inside(x + right, width);
                    value += by_row * by_column * f64::from(image[place * 3 + channel]);
                }
            }
            out.push(value / (sum * sum));
        }
        out
    }

    #[test]
    fn it_is_a_gaussian_with_reflected_edges() {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (2, 3), (7, 5), (20, 12)] {
            for sigma in [0.4, 1.0, 2.5, 6.0] {
                let image: Vec<u8> = (0..height * width * 3).map(|at| (at * at * 31 % 256) as u8).collect();
                let mut blurred = image.clone();
                blur(&mut blurred, height, width, sigma);
                for (is, exact) in blurred.iter().zip(expected(&image, height, width, f64::from(sigma))) {
                    assert!((f64::from(*is) - exact).abs() < 0.51, "{height} x {width}, {sigma}: {is}, not {exact}");
                }
            }
        }
        let mut image = vec![9, 200, 30, 4, 5, 6];
        blur(&mut image, 1, 2, 0.0);
        assert_eq!(image, [9, 200, 30, 4, 5, 6]);
    }
}
