//! The picture that `evaluate` leaves: photograph, mask, prediction and overlay of a few test images under each other.
//! How a row looks is `pipeline_images::panel`'s; here images are made small enough.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use pipeline_contract::Result;
use pipeline_images::{panel, stack};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::files::{failed, replace};

/// Largest height and width of an image in the picture, in pixels.
const LARGEST: usize = 512;

/// A test image with what the network makes of it.
pub(super) struct Predicted {
    /// The sample's id.
    pub name: String,
    /// RGB, `[height, width, 3]`.
    pub image: Vec<u8>,
    /// 0 or 1, `[height, width]`.
    pub mask: Vec<u8>,
    /// `[height, width]`.
    pub probabilities: Vec<f32>,
    /// Height and width in pixels.
    pub side: [usize; 2],
}

/// Writes test images as a safetensors file: for each sample `ID.image` (u8, `[height, width, 3]`), `ID.mask` (u8) and
/// `ID.probability` (f32), `[height, width]` each. Another program can hold its own figures against these.
///
/// # Errors
/// When it can't be written.
pub(super) fn write_tensors(path: &Path, images: &[Predicted]) -> Result<()> {
    let bytes: Vec<Vec<u8>> =
        images.iter().map(|image| image.probabilities.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let mut views = Vec::new();
    for (image, probabilities) in images.iter().zip(&bytes) {
        let [height, width] = image.side;
        for (what, dtype, shape, data) in [
            ("image", Dtype::U8, vec![height, width, 3], &image.image),
            ("mask", Dtype::U8, vec![height, width], &image.mask),
            ("probability", Dtype::F32, vec![height, width], probabilities),
        ] {
            let view = TensorView::new(dtype, shape, data).map_err(|error| failed(path, error))?;
            views.push((format!("{}.{what}", image.name), view));
        }
    }
    replace(path, &safetensors::serialize(views, None).map_err(|error| failed(path, error))?)
}

/// The rows so far.
#[derive(Default)]
pub(super) struct Predictions(Vec<RgbImage>);

impl Predictions {
    /// Goes on with these rows.
    pub(super) fn of(rows: Vec<RgbImage>) -> Self {
        Self(rows)
    }

    /// The rows, one an image.
    pub(super) fn rows(&self) -> &[RgbImage] {
        &self.0
    }

    /// How many images there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an image: RGB `[height, width, 3]`, mask of 0 and 1 and probabilities `[height, width]`.
    pub(super) fn add(&mut self, image: &[u8], mask: &[u8], probabilities: &[f32], height: usize, width: usize) {
        let factor = height.max(width).div_ceil(LARGEST).max(1);
        // A strip may be thinner than what becomes one pixel of its length.
        let (tall, wide) = (factor.min(height), factor.min(width));
        let (rows, columns) = (height / tall, width / wide);
        // The mean over the pixels that become one.
        let shrunk = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
            let pixel = |at: usize| {
                let (top, left) = (at / columns * tall, at % columns * wide);
                let block = (0..tall * wide).map(|k| value((top + k / wide) * width + left + k % wide));
                block.sum::<f32>() / (tall * wide) as f32
            };
            (0..rows * columns).map(pixel).collect()
        };
        let channel = |channel: usize| shrunk(&|at| f32::from(image[at * 3 + channel]));
        let channels = [channel(0), channel(1), channel(2)];
        let small: Vec<u8> =
            (0..rows * columns).flat_map(|at| [0, 1, 2].map(|c: usize| channels[c][at].round() as u8)).collect();
        let mask: Vec<u8> = shrunk(&|at| f32::from(mask[at].min(1))).iter().map(|&share| u8::from(share >= 0.5)).collect();
        self.0.push(panel(&small, &mask, &shrunk(&|at| probabilities[at]), rows, columns));
    }

    /// Writes the picture, replacing an older one only when all is on the disk; without images, none.
    pub(super) fn write(self, path: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut bytes = Cursor::new(Vec::new());
        stack(self.0).write_to(&mut bytes, ImageFormat::Png).map_err(|error| failed(path, error))?;
        replace(path, &bytes.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::Predictions;

    #[test]
    fn a_strip_has_a_picture_too() {
        for (height, width) in [(1, 2000), (2000, 1), (3, 1500), (512, 512)] {
            let mut predictions = Predictions::default();
            let area = height * width;
            predictions.add(&vec![200; 3 * area], &vec![1; area], &vec![1.0; area], height, width);
            let picture = &predictions.0[0];
            assert!(picture.width() > 0 && picture.height() > 0, "{height} x {width}");
            assert_eq!(picture.get_pixel(0, 0).0, [200; 3], "{height} x {width}");
        }
    }
}
