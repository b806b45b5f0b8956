//! The picture that `evaluate` writes: photograph, mask, prediction and overlay of a few test images, one image per row.
//! `pipeline_images` draws the rows; here images are scaled down to fit.

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use pipeline_contract::Result;
use pipeline_images::{Classes, class_legend, class_panel, panel, stack};
use pipeline_metrics::argmax;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::files::{failed, replace};
use crate::stages::prediction::NetworkOutput;

/// Largest height and width of an image in the picture, in pixels.
const LARGEST: usize = 512;

/// The prediction for an image.
pub(super) enum Predicted {
    /// The probability of vessel, `[height, width]`.
    Vessel(Vec<f32>),
    /// Class numbers, `[height, width]`.
    Classes(Vec<u8>),
}

impl Predicted {
    /// From what the network said, `[classes, height, width]`.
    pub(super) fn of(output: &NetworkOutput, classes: usize) -> Self {
        match classes {
            1 => Self::Vessel(output.clone().probabilities(classes)),
            _ => Self::Classes(argmax(output.values(), classes)),
        }
    }
}

/// A test image with the network's output for it.
pub(super) struct Tensors {
    /// The sample's id.
    pub name: String,
    /// RGB, `[height, width, 3]`.
    pub image: Vec<u8>,
    /// Shares or class numbers, `[height, width]`.
    pub mask: Vec<u8>,
    /// Probabilities of vessel, `[height, width]`; with several classes `[classes, height, width]`.
    pub probabilities: Vec<f32>,
    /// Height and width in pixels.
    pub side: [usize; 2],
}

/// Writes test images as a safetensors file: for each sample `ID.image` (u8, `[height, width, 3]`), `ID.mask` (u8,
/// `[height, width]`: class numbers, or with one class the vessel's share of a pixel in 255ths) and `ID.probability` (f32, `[height, width]`, or with several classes `[classes, height, width]`).
/// Another program can compare its own figures with these.
///
/// # Errors
/// When it can't be written.
pub(super) fn write_tensors(path: &Path, images: &[Tensors]) -> Result<()> {
    let bytes: Vec<Vec<u8>> =
        images.iter().map(|image| image.probabilities.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let mut views = Vec::new();
    for (image, probabilities) in images.iter().zip(&bytes) {
        let [height, width] = image.side;
        let planes = match image.probabilities.len() / image.mask.len().max(1) {
            1 => vec![height, width],
            classes => vec![classes, height, width],
        };
        for (what, dtype, shape, data) in [
            ("image", Dtype::U8, vec![height, width, 3], &image.image),
            ("mask", Dtype::U8, vec![height, width], &image.mask),
            ("probability", Dtype::F32, planes, probabilities),
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
    /// Continues with these rows.
    pub(super) fn of(rows: Vec<RgbImage>) -> Self {
        Self(rows)
    }

    /// The rows, one per image.
    pub(super) fn rows(&self) -> &[RgbImage] {
        &self.0
    }

    /// The number of images.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an image: RGB `[height, width, 3]`, shares or class numbers `[height, width]`, and the prediction.
    pub(super) fn add(&mut self, image: &[u8], labels: &[u8], predicted: &Predicted, height: usize, width: usize) {
        let blocks = Blocks::of(height, width);
        let channel = |channel: usize| blocks.means(&|at| f32::from(image[at * 3 + channel]));
        let channels = [channel(0), channel(1), channel(2)];
        let [rows, columns] = blocks.size();
        let small: Vec<u8> =
            (0..rows * columns).flat_map(|at| [0, 1, 2].map(|c: usize| channels[c][at].round() as u8)).collect();
        self.0.push(match predicted {
            Predicted::Vessel(probabilities) => {
                let shares = blocks.means(&|at| f32::from(labels[at]));
                let mask: Vec<u8> = shares.iter().map(|&share| share.round() as u8).collect();
                panel(&small, &mask, &blocks.means(&|at| probabilities[at]), rows, columns)
            }
            Predicted::Classes(classes) => {
                class_panel(&small, &blocks.most_frequent(labels), &blocks.most_frequent(classes), rows, columns)
            }
        });
    }

    /// Writes the picture, replacing an older one only once the new one is completely on disk. Without images nothing is
    /// written. With several classes the picture ends with their names and colours.
    pub(super) fn write(mut self, path: &Path, classes: Option<&Classes>) -> Result<()> {
        let Some(width) = self.0.iter().map(RgbImage::width).max() else { return Ok(()) };
        self.0.extend(classes.map(|classes| class_legend(classes, width as usize)));
        let mut bytes = Cursor::new(Vec::new());
        stack(self.0).write_to(&mut bytes, ImageFormat::Png).map_err(|error| failed(path, error))?;
        replace(path, &bytes.into_inner())
    }
}

/// An image divided into blocks of pixels; each block becomes one pixel of a smaller image.
struct Blocks {
    width: usize,
    /// Height and width of a block.
    block: [usize; 2],
    /// The number of blocks: rows and columns.
    count: [usize; 2],
}

impl Blocks {
    /// Chooses blocks large enough that no row or column has more than [`LARGEST`] of them.
    fn of(height: usize, width: usize) -> Self {
        let factor = height.max(width).div_ceil(LARGEST).max(1);
        // A thin strip may have fewer pixels across than a block has along its length.
        let (tall, wide) = (factor.min(height), factor.min(width));
        Self { width, block: [tall, wide], count: [height / tall, width / wide] }
    }

    /// Height and width of the smaller image.
    fn size(&self) -> [usize; 2] {
        self.count
    }

    /// The indices of a block's pixels in the image.
    fn pixels(&self, block: usize) -> impl Iterator<Item = usize> {
        let ([tall, wide], width) = (self.block, self.width);
        let (top, left) = (block / self.count[1] * tall, block % self.count[1] * wide);
        (0..tall * wide).map(move |k| (top + k / wide) * width + left + k % wide)
    }

    /// The mean of `value` over each block.
    fn means(&self, value: &dyn Fn(usize) -> f32) -> Vec<f32> {
        let [tall, wide] = self.block;
        let mean = |block| self.pixels(block).map(value).sum::<f32>() / (tall * wide) as f32;
        (0..self.count[0] * self.count[1]).map(mean).collect()
    }

    /// The most frequent label of each block; of equally frequent ones the largest, so that thin vessels remain visible.
    fn most_frequent(&self, labels: &[u8]) -> Vec<u8> {
        let mut counts = [0_u32; 256];
        let most = |block| {
            counts.fill(0);
            self.pixels(block).for_each(|at| counts[usize::from(labels[at])] += 1);
            (0..=u8::MAX).max_by_key(|&label| counts[usize::from(label)]).unwrap_or_default()
        };
        (0..self.count[0] * self.count[1]).map(most).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strip_has_a_picture_too() {
        for (height, width) in [(1, 2000), (2000, 1), (3, 1500), (512, 512)] {
            let area = height * width;
            for predicted in [Predicted::Vessel(vec![1.0; area]), Predicted::Classes(vec![1; area])] {
                let mut predictions = Predictions::default();
                predictions.add(&vec![200; 3 * area], &vec![1; area], &predicted, height, width);
                let picture = &predictions.0[0];
                assert!(picture.width() > 0 && picture.height() > 0, "{height} x {width}");
                assert_eq!(picture.get_pixel(0, 0).0, [200; 3], "{height} x {width}");
            }
        }
    }

    #[test]
    fn a_smaller_image_has_the_label_of_most_pixels() {
        let blocks = Blocks { width: 4, block: [2, 2], count: [1, 2] };
        assert_eq!(blocks.most_frequent(&[0, 2, 0, 255, 0, 1, 3, 3]), [0, 3]);
        assert_eq!(blocks.most_frequent(&[0, 2, 0, 0, 2, 0, 1, 1]), [2, 1], "as many: the vessel");
    }
}
