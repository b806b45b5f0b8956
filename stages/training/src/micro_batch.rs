//! The input of one forward and backward pass: images and masks in host memory, as the image stages produced them. 8-bit
//! pixels stay bytes until they reach the device, which converts them to floats.

use std::ops::Range;
use std::sync::Arc;

use pipeline_contract::{Result, StageError};
use pipeline_images::{Batch, IGNORED, MaskKind, Normalization, VESSEL};
use pipeline_kernels::Area;

use crate::loss::Target;
use crate::pass::Images;

/// The images and masks of some samples.
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
    /// `[batch, height, width]`. For a network with one class the vessel's share of each pixel, in 255ths; with several the class
    /// numbers, and 255 for ignored pixels.
    pub masks: Vec<u8>,
}

/// The images of a micro-batch.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// 8-bit `[batch, height, width, 3]`, and their normalisation.
    Bytes(Vec<u8>, Normalization),
    /// `[batch, 3, height, width]`.
    Floats(Vec<f32>),
}

/// Turns a mask into what a network with this many classes learns: see [`MicroBatch::of`].
pub(crate) fn learn(mask: &mut [u8], kind: MaskKind, classes: usize) {
    match (kind, classes) {
        (MaskKind::Class, 1) => mask.iter_mut().for_each(|label| *label = if *label == 0 { 0 } else { u8::MAX }),
        (MaskKind::Share, 2..) => mask.iter_mut().for_each(|share| *share = u8::from(*share >= VESSEL)),
        _ => {}
    }
}

impl MicroBatch {
    /// A batch as a network with this many classes learns from it. With one class, class 1 of labelled masks is the vessel; with two,
    /// a pixel of unlabelled ones is vessel where at least half of it is.
    pub fn of(batch: Batch, classes: usize) -> Self {
        let Batch { samples, height, width, images, mut masks, kind, normalization, originals: _ } = batch;
        learn(&mut masks, kind, classes);
        Self { samples, height, width, pixels: Pixels::Bytes(images, normalization), masks }
    }

    /// Checks that each label in a range of samples is below `classes` or marks an ignored pixel. With one class every label
    /// is valid.
    ///
    /// # Errors
    /// When a label is invalid; names the first such sample, the label and its position.
    pub(crate) fn check_labels(&self, range: Range<usize>, classes: usize) -> Result<()> {
        if classes == 1 {
            return Ok(());
        }
        let pixels = self.height * self.width;
        let is_class = |label: &u8| usize::from(*label) < classes || *label == IGNORED;
        let masks = self.samples.iter().zip(self.masks.chunks(pixels.max(1)));
        for (sample, mask) in masks.take(range.end).skip(range.start) {
            if let Some(at) = mask.iter().position(|label| !is_class(label)) {
                let (label, x, y) = (mask[at], at % self.width, at / self.width);
                let message =
                    format!("the mask of {sample} has the label {label} at ({x}, {y}), and the model has {classes} classes");
                return Err(
                    StageError::new(message).help("give the model as many classes as the masks have, the background counted")
                );
            }
        }
        Ok(())
    }

    /// The images and masks of a range of its samples.
    ///
    /// # Errors
    /// When the buffers don't match the sizes, which is a bug in the stage that made them.
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

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;

    #[test]
    fn masks_become_what_the_network_learns() {
        let of = |kind, classes| {
            let batch = Batch {
                samples: vec!["a".into()],
                height: 1,
                width: 4,
                images: vec![0; 12],
                masks: vec![0, 1, 127, 128],
                kind,
                normalization: Normalization::default(),
                originals: vec![None],
            };
            MicroBatch::of(batch, classes).masks
        };
        assert_eq!(of(MaskKind::Share, 1), [0, 1, 127, 128]);
        assert_eq!(of(MaskKind::Share, 2), [0, 0, 0, 1]);
        assert_eq!(of(MaskKind::Class, 1), [0, 255, 255, 255]);
        assert_eq!(of(MaskKind::Class, 200), [0, 1, 127, 128]);
    }

    #[test]
    fn a_label_that_is_no_class_is_named_with_its_sample_and_place() {
        let (samples, pixels) = (["a", "b"].map(Arc::from).into(), Pixels::Floats(vec![0.0; 36]));
        let batch = MicroBatch { samples, height: 2, width: 3, pixels, masks: vec![0, 1, 2, 255, 0, 0, 0, 0, 0, 0, 3, 0] };
        batch.check_labels(0..2, 4).expect("0 to 3, and 255 is ignored");
        batch.check_labels(0..2, 1).expect("any label is vessel or not");
        batch.check_labels(0..1, 3).expect("the other sample isn't looked at");
        let error = batch.check_labels(0..2, 3).expect_err("3 is none of three classes");
        assert_eq!(error.message(), "the mask of b has the label 3 at (1, 1), and the model has 3 classes");
    }
}
