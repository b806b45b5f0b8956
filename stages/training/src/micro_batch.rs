//! What one forward and backward pass takes: images and masks in the host's memory, as the image stages left them.
//! 8-bit pixels stay bytes as far as the device, where the arithmetic makes floats of them.

use std::ops::Range;
use std::sync::Arc;

use pipeline_contract::{Result, StageError};
use pipeline_images::{Batch, Normalization};
use pipeline_kernels::Area;

use crate::loss::Target;
use crate::pass::Images;

/// Images and masks of some samples.
#[derive(Debug, Clone)]
pub struct MicroBatch {
    /// The samples' ids, in order.
    pub samples: Vec<Arc<str>>,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// The images.
    pub pixels: Pixels,
    /// Nonzero where there is vessel, `[batch, height, width]`.
    pub masks: Vec<u8>,
}

/// The images of a micro-batch.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// 8-bit `[batch, height, width, 3]`, and how they are normalised.
    Bytes(Vec<u8>, Normalization),
    /// `[batch, 3, height, width]`.
    Floats(Vec<f32>),
}

impl From<Batch> for MicroBatch {
    fn from(batch: Batch) -> Self {
        let Batch { samples, height, width, images, masks, normalization } = batch;
        Self { samples, height, width, pixels: Pixels::Bytes(images, normalization), masks }
    }
}

impl MicroBatch {
    /// The images and masks of a range of its samples.
    ///
    /// # Errors
    /// When the buffers don't hold what the sizes say: a bug of the stage that made them.
    pub(crate) fn part(&self, range: Range<usize>) -> Result<(Images<'_>, Target<'_>, Area)> {
        let pixels = self.height * self.width;
        let (start, end) = (range.start * pixels, range.end * pixels);
        let images = match &self.pixels {
            Pixels::Bytes(values, normalization) => {
                values.get(3 * start..3 * end).map(|values| Images::Pixels(values, normalization))
            }
            Pixels::Floats(values) => values.get(3 * start..3 * end).map(Images::Planes),
        };
        let area = Area { batch: range.len(), height: self.height, width: self.width };
        match (images, self.masks.get(start..end)) {
            (Some(images), Some(masks)) => Ok((images, Target { labels: masks, area }, area)),
            _ => Err(StageError::new(format!(
                "a batch of {} images of {} x {} doesn't hold as many pixels",
                self.samples.len(),
                self.height,
                self.width
            ))),
        }
    }
}
