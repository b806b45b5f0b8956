//! What `evaluate` gathers over the test images of an epoch, and how it is saved in a checkpoint in the middle of one.

use image::RgbImage;
use pipeline_contract::{Buffer, Result, Saved, StageError};

use super::measured::Measured;
use super::predictions::{Predictions, Tensors};

/// The results gathered over the test images of an epoch.
#[derive(Default)]
pub(super) struct Figures {
    pub measured: Measured,
    pub predictions: Predictions,
    pub tensors: Vec<Tensors>,
}

impl Figures {
    /// Saves everything; nothing if the epoch has had no test image yet.
    pub(super) fn save(&self) -> Result<Saved> {
        let mut saved = Saved::default();
        if self.measured.images.is_empty() {
            return Ok(saved);
        }
        self.measured.save(&mut saved)?;
        saved.set("pictures", self.predictions.rows().iter().map(RgbImage::dimensions).collect::<Vec<_>>())?;
        for (at, picture) in self.predictions.rows().iter().enumerate() {
            saved.keep(format!("picture.{at}"), Buffer::Bytes(picture.as_raw().clone()));
        }
        saved.set("tensors", self.tensors.iter().map(|image| (&image.name, image.side)).collect::<Vec<_>>())?;
        for (at, image) in self.tensors.iter().enumerate() {
            saved.keep(format!("tensor.{at}.image"), Buffer::Bytes(image.image.clone()));
            saved.keep(format!("tensor.{at}.mask"), Buffer::Bytes(image.mask.clone()));
            saved.keep(format!("tensor.{at}.probabilities"), Buffer::Floats(image.probabilities.clone()));
        }
        Ok(saved)
    }

    /// Restores what [`Self::save`] saved.
    pub(super) fn restore(saved: &mut Saved) -> Result<Self> {
        if !saved.values.contains_key("images") {
            return Ok(Self::default());
        }
        let misfit = || StageError::new("the saved figures of the evaluation don't fit each other");
        let mut pictures = Vec::new();
        for (at, (width, height)) in saved.get::<Vec<(u32, u32)>>("pictures")?.into_iter().enumerate() {
            let bytes = saved.take_bytes(&format!("picture.{at}"))?;
            pictures.push(RgbImage::from_raw(width, height, bytes).ok_or_else(misfit)?);
        }
        let mut tensors = Vec::new();
        for (at, (name, side)) in saved.get::<Vec<(String, [usize; 2])>>("tensors")?.into_iter().enumerate() {
            tensors.push(Tensors {
                name,
                image: saved.take_bytes(&format!("tensor.{at}.image"))?,
                mask: saved.take_bytes(&format!("tensor.{at}.mask"))?,
                probabilities: saved.take_floats(&format!("tensor.{at}.probabilities"))?,
                side,
            });
        }
        let measured = Measured::restore(saved)?;
        Ok(Self { measured, predictions: Predictions::of(pictures), tensors })
    }
}
