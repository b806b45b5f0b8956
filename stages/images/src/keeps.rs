//! What a pair keeps of its photograph at its own size, for stages after its pixels were resized: by the facts of the file.

use std::path::PathBuf;

use pipeline_contract::{Facts, Result, fact};
use serde_json::Value;

use crate::field_file;
use crate::field_of_view::field_of_view;
use crate::{ImagePair, Original, OwnPixels};

/// What of a photograph at its own size later stages need; its size in any case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Keeps {
    /// An evaluation: the mask.
    mask: bool,
    /// An evaluation of the field of view alone.
    frames: bool,
    /// A prediction: the photograph, to draw on.
    pixels: bool,
}

impl Keeps {
    /// What the facts of a source's items ask for; `None` where nothing is measured or predicted.
    pub fn of(facts: &Facts) -> Option<Self> {
        let (evaluated, predicted) = (facts.get(fact::EVALUATED), facts.get(fact::PREDICTED));
        (evaluated.is_some() || predicted.is_some()).then(|| Self {
            mask: evaluated.is_some(),
            frames: evaluated.is_some() && facts.get(fact::FIELD_OF_VIEW).is_some(),
            pixels: predicted.is_some_and(|predicted| predicted.value == Value::Bool(true)),
        })
    }

    /// Bytes that are kept of each pixel.
    pub fn bytes_of_a_pixel(self) -> u64 {
        u64::from(self.mask) + u64::from(self.frames) + 3 * u64::from(self.pixels)
    }

    /// What is kept of a pair of its own size. `field` is the file of its field of view, where it has one, and its photograph.
    ///
    /// # Errors
    /// When that file can't be read, or has another size.
    pub fn original(self, pair: &ImagePair, field: Option<(PathBuf, PathBuf)>, max_pixels: u64) -> Result<Original> {
        let (height, width) = (pair.height, pair.width);
        let inside = match field {
            _ if !self.frames => None,
            Some((file, photo)) => field_file::read(&file, &photo, [height, width], max_pixels)?,
            None => field_of_view(&pair.image, height, width),
        };
        let mask = if self.mask { pair.mask.clone() } else { Vec::new() };
        let pixels = if self.pixels { OwnPixels::OfPair } else { OwnPixels::Dropped };
        Ok(Original { height, width, mask, pixels, inside, shown: [0, 0, height, width] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::distinct;

    #[test]
    fn an_evaluation_and_a_prediction_of_the_same_photograph_both_have_what_they_need() {
        let kept = |names: &[&str]| {
            let mut facts = Facts::default();
            names.iter().for_each(|name| facts.set(name, true, ""));
            Keeps::of(&facts).map(|keeps| (keeps.bytes_of_a_pixel(), keeps.original(&distinct(2, 3), None, 100).unwrap()))
        };
        assert_eq!(kept(&[]), None);
        let (bytes, both) = kept(&[fact::EVALUATED, fact::PREDICTED]).unwrap();
        assert_eq!((bytes, both.mask.len(), both.pixels), (4, 6, OwnPixels::OfPair));
        let (bytes, measured) = kept(&[fact::EVALUATED, fact::FIELD_OF_VIEW]).unwrap();
        assert_eq!((bytes, measured.mask.len(), measured.pixels), (2, 6, OwnPixels::Dropped));
        let (bytes, predicted) = kept(&[fact::PREDICTED]).unwrap();
        assert_eq!((bytes, predicted.mask.len(), predicted.pixels), (3, 0, OwnPixels::OfPair));
    }
}
