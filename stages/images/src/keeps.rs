//! What a pair keeps of its photograph at its own size, for stages after its pixels were resized: by the facts of the file.

use std::path::PathBuf;

use pipeline_contract::{Facts, Result, fact};
use serde_json::Value;

use crate::field_file;
use crate::field_of_view::field_of_view;
use crate::{ImagePair, Original, OwnPixels};

/// What of a photograph at its own size later stages need.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Keeps {
    /// An evaluation: the mask, and with `frames` the field of view.
    Mask { frames: bool },
    /// A prediction: its size, and with `pixels` the photograph, to draw on.
    Photograph { pixels: bool },
}

impl Keeps {
    /// What the facts of a source's items ask for.
    pub fn of(facts: &Facts) -> Option<Self> {
        match (facts.get(fact::EVALUATED), facts.get(fact::PREDICTED)) {
            (Some(_), _) => Some(Self::Mask { frames: facts.get(fact::FIELD_OF_VIEW).is_some() }),
            (None, Some(predicted)) => Some(Self::Photograph { pixels: predicted.value == Value::Bool(true) }),
            (None, None) => None,
        }
    }

    /// Bytes that are kept of each pixel.
    pub fn bytes_of_a_pixel(self) -> u64 {
        match self {
            Self::Mask { frames } => 1 + u64::from(frames),
            Self::Photograph { pixels } => 3 * u64::from(pixels),
        }
    }

    /// What is kept of a pair of its own size. `field` is the file of its field of view, where it has one, and its photograph.
    ///
    /// # Errors
    /// When that file can't be read, or has another size.
    pub fn original(self, pair: &ImagePair, field: Option<(PathBuf, PathBuf)>, max_pixels: u64) -> Result<Original> {
        let (height, width) = (pair.height, pair.width);
        let (mask, pixels, inside) = match self {
            Self::Mask { frames } => {
                let inside = match field {
                    _ if !frames => None,
                    Some((file, photo)) => field_file::read(&file, &photo, [height, width], max_pixels)?,
                    None => field_of_view(&pair.image, height, width),
                };
                (pair.mask.clone(), OwnPixels::Dropped, inside)
            }
            Self::Photograph { pixels: true } => (Vec::new(), OwnPixels::OfPair, None),
            Self::Photograph { pixels: false } => (Vec::new(), OwnPixels::Dropped, None),
        };
        Ok(Original { height, width, mask, pixels, inside, shown: [0, 0, height, width] })
    }
}
