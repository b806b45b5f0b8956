//! Where windows lie on an image, and what a pixel's place in a window weighs. Geometry alone: no pixels, no network.

use pipeline_contract::{Result, StageError};
use pipeline_images::Beyond;

/// The standard deviation of the Gaussian, in windows.
const SIGMA: f64 = 0.125;

/// The least weight: no pixel at a window's edge counts for nothing.
const LEAST: f64 = 1e-3;

/// Overlapping windows that cover an image, and the weights of their pixels. As MONAI's `sliding_window_inference(mode="gaussian")`
/// (<https://docs.monai.io/en/stable/inferers.html>), which pads a smaller image on both sides; here by reflection unless [`Self::beyond`] says otherwise.
///
/// ```
/// use pipeline_training::sliding::Windows;
///
/// let windows = Windows::new([64, 150], [64, 64], 0.5)?;
/// assert_eq!(windows.starts().collect::<Vec<_>>(), [[0, 0], [0, 32], [0, 64], [0, 86]]);
/// // Half of what is missing lies before the image.
/// assert_eq!(Windows::new([50, 64], [64, 64], 0.5)?.starts().collect::<Vec<_>>(), [[-7, 0]]);
/// # Ok::<(), pipeline_contract::StageError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Windows {
    image: [usize; 2],
    window: [usize; 2],
    rows: Vec<isize>,
    columns: Vec<isize>,
    weights: Vec<f32>,
    beyond: Beyond,
}

impl Windows {
    /// Windows of `[height, width]` over an image of `[height, width]`. Neighbours overlap by the share `overlap`, from 0 to below 1: each
    /// begins `max(1, trunc(side (1 - overlap)))` pixels behind the one before, but the last ends with the image.
    ///
    /// # Errors
    /// When a side is 0, or `overlap` is out of range.
    pub fn new(image: [usize; 2], window: [usize; 2], overlap: f64) -> Result<Self> {
        let ([height, width], [window_height, window_width]) = (image, window);
        if [height, width, window_height, window_width].contains(&0) {
            return Err(StageError::new(format!("windows of {window:?} can't cover an image of {image:?} pixels")));
        }
        if !(0.0..1.0).contains(&overlap) {
            return Err(StageError::new(format!("windows can't overlap by a share of {overlap}"))
                .help("choose a share from 0 to below 1"));
        }
        let [rows, columns] = [0, 1].map(|axis| starts(image[axis], window[axis], overlap));
        Ok(Self { image, window, rows, columns, weights: weights(window), beyond: Beyond::default() })
    }

    /// The same, with this beyond the edges of an image that is smaller than a window.
    #[must_use]
    pub fn beyond(self, beyond: Beyond) -> Self {
        Self { beyond, ..self }
    }

    /// What stands beyond the image.
    pub(super) fn edges(&self) -> Beyond {
        self.beyond
    }

    /// The image's `[height, width]`.
    pub fn image(&self) -> [usize; 2] {
        self.image
    }

    /// A window's `[height, width]`.
    pub fn window(&self) -> [usize; 2] {
        self.window
    }

    /// The `[row, column]` of the image at which each window begins, row by row; negative where the image is smaller than the window.
    pub fn starts(&self) -> impl Iterator<Item = [isize; 2]> {
        self.rows.iter().flat_map(|&row| self.columns.iter().map(move |&column| [row, column]))
    }

    /// What each pixel of a window weighs, `[height, width]`: the product of `exp(-d^2 / (2 s^2))` along both sides, `d` the distance from the middle
    /// `(n - 1) / 2` and `s = n / 8`, and at least 0.001 or the smallest of these products.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// What the windows over each pixel of an image's row weigh together: the sum of their weights there, `[width]`.
    pub(super) fn total(&self, row: usize, into: &mut Vec<f32>) {
        let [_, width] = self.image;
        into.clear();
        into.resize(width, 0.0);
        for &start in &self.rows {
            let Some(line) = self.line(row as isize - start) else { continue };
            for &column in &self.columns {
                let (from, place) = overlap(column, line.len(), width);
                into[place.clone()].iter_mut().zip(&line[from..]).for_each(|(sum, weight)| *sum += weight);
            }
        }
    }

    /// The weights of a window's row, `[width]`; `None` where there is no such row.
    pub(super) fn line(&self, row: isize) -> Option<&[f32]> {
        let [height, width] = self.window;
        let row = usize::try_from(row).ok().filter(|&row| row < height)?;
        self.weights.get(row * width..(row + 1) * width)
    }
}

/// What a line of `length` that begins at `start` shares with a side: where that begins in the line, and where it lies on the side.
pub(super) fn overlap(start: isize, length: usize, side: usize) -> (usize, std::ops::Range<usize>) {
    let end = (start + length as isize).clamp(0, side as isize) as usize;
    let (before, from) = if start < 0 { (start.unsigned_abs().min(length), 0) } else { (0, start as usize) };
    (before, from.min(end)..end)
}

/// Where windows begin along one side.
fn starts(side: usize, window: usize, overlap: f64) -> Vec<isize> {
    let Some(last) = side.checked_sub(window) else { return vec![-(((window - side) / 2) as isize)] };
    let step = ((window as f64 * (1.0 - overlap)) as usize).max(1);
    (0..last).step_by(step).chain([last]).map(|start| start as isize).collect()
}

/// The weights of a window's pixels; computed in double precision.
fn weights([height, width]: [usize; 2]) -> Vec<f32> {
    let line = |length: usize| -> Vec<f64> {
        let (middle, sigma) = ((length - 1) as f64 / 2.0, SIGMA * length as f64);
        (0..length).map(|at| (-(at as f64 - middle).powi(2) / (2.0 * sigma * sigma)).exp()).collect()
    };
    let (rows, columns) = (line(height), line(width));
    // Both lines are smallest at their ends.
    let least = (rows[0] * columns[0]).max(LEAST);
    rows.iter().flat_map(|row| columns.iter().map(move |column| (row * column).max(least) as f32)).collect()
}
