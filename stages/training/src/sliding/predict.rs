//! The predictions of an image's windows as one map.

use pipeline_contract::{Result, StageError};
use pipeline_images::{Normalization, cut};

use super::probabilities::to_probabilities;
use super::windows::{Windows, overlap};
use crate::micro_batch::{MicroBatch, Pixels};

/// Predicts the probabilities of an image, `[classes, height, width]`, window by window: at each pixel the mean over the windows that hold it, weighted by
/// its place in each ([`Windows::weights`]).
///
/// `pixels` is the image, 8-bit RGB `[height, width, 3]`. `forward` gives the logits of up to `batch` windows, `[windows, classes, height, width]`. Beside
/// them and the result no more is held than `batch` windows' pixels.
///
/// # Errors
/// When the image holds another number of pixels than the windows cover, and when `forward` fails or returns another number of logits.
pub fn predict(
    pixels: &[u8],
    normalization: Normalization,
    windows: &Windows,
    classes: usize,
    batch: usize,
    forward: &mut dyn FnMut(MicroBatch) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    let ([height, width], classes) = (windows.image(), classes.max(1));
    if Some(pixels.len()) != height.checked_mul(width).and_then(|area| area.checked_mul(3)) {
        return Err(StageError::new(format!("an image of {width} x {height} pixels holds {} bytes", pixels.len())));
    }
    let mut map = Vec::new();
    map.try_reserve_exact(height * width * classes)
        .map_err(|_| StageError::new(format!("no memory for the probabilities of {width} x {height} pixels")))?;
    map.resize(height * width * classes, 0.0);
    let starts: Vec<[isize; 2]> = windows.starts().collect();
    for starts in starts.chunks(batch.max(1)) {
        let part = micro_batch(pixels, normalization, windows, starts);
        let mut logits = forward(part)?;
        let each = windows.weights().len() * classes;
        if logits.len() != each * starts.len() {
            return Err(StageError::new(format!(
                "{} windows have {} logits instead of {}",
                starts.len(),
                logits.len(),
                each * starts.len()
            )));
        }
        for (values, &start) in logits.chunks_exact_mut(each).zip(starts) {
            to_probabilities(values, classes);
            add(&mut map, values, windows, start);
        }
    }
    let mut total = Vec::new();
    for row in 0..height {
        windows.total(row, &mut total);
        for class in 0..classes {
            let line = &mut map[(class * height + row) * width..][..width];
            line.iter_mut().zip(&total).for_each(|(sum, weight)| *sum /= weight);
        }
    }
    Ok(map)
}

/// Some windows of an image, named by their places.
fn micro_batch(pixels: &[u8], normalization: Normalization, windows: &Windows, starts: &[[isize; 2]]) -> MicroBatch {
    let (size, area) = (windows.window(), windows.weights().len());
    let mut images = Vec::with_capacity(3 * area * starts.len());
    for &start in starts {
        cut::<3>(pixels, windows.image(), start, size, windows.edges(), &mut images);
    }
    MicroBatch {
        samples: starts.iter().map(|[row, column]| format!("window at row {row}, column {column}").into()).collect(),
        height: size[0],
        width: size[1],
        pixels: Pixels::Bytes(images, normalization),
        masks: vec![0; area * starts.len()],
    }
}

/// Adds a window's weighted probabilities, `[classes, height, width]`, to the map of the image.
fn add(map: &mut [f32], values: &[f32], windows: &Windows, [top, left]: [isize; 2]) {
    let ([height, width], [window_height, window_width]) = (windows.image(), windows.window());
    let (before, rows) = overlap(top, window_height, height);
    let (from, columns) = overlap(left, window_width, width);
    for (class, values) in values.chunks_exact(window_height * window_width).enumerate() {
        for (row, at) in rows.clone().zip(before..) {
            let Some(weights) = windows.line(at as isize) else { continue };
            let sums = &mut map[(class * height + row) * width..][columns.clone()];
            let line = values[at * window_width + from..].iter().zip(&weights[from..]);
            sums.iter_mut().zip(line).for_each(|(sum, (value, weight))| *sum += value * weight);
        }
    }
}
