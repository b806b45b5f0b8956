//! What flows between the image stages: where a sample is, a decoded pair, a batch. Pixels stay 8-bit until the device's lane takes a batch.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline_contract::{Doubt, Facts, Payload, fact};
use serde::{Deserialize, Serialize};

/// Where a sample's image and mask are. Small: sources emit these, `decode` reads or draws them.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleFiles {
    /// An image file and a mask file.
    Pair {
        /// The photograph.
        image: PathBuf,
        /// Its mask: values that `labels` of `decode` names, otherwise vessel where channel 0 is above half of its range, or
        /// has the larger of exactly two values.
        mask: PathBuf,
        /// A file that is bright, above half of its range, where the photograph shows the eye. Read where the pair is evaluated; without it the
        /// field of view is found in the photograph.
        inside: Option<PathBuf>,
    },
    /// A photograph without a mask. Its pair has an empty one.
    Photograph(PathBuf),
    /// A synthetic fundus, drawn when it is decoded.
    Drawn {
        /// Height and width in pixels.
        size: usize,
        /// What is drawn.
        seed: u64,
        /// Whether the mask tells arteries from veins.
        classes: bool,
    },
}

impl Payload for SampleFiles {
    const NAME: &'static str = "files";

    fn bytes(&self) -> u64 {
        match self {
            Self::Pair { image, mask, inside } => {
                let length = |path: &PathBuf| path.as_os_str().len() as u64;
                length(image) + length(mask) + inside.as_ref().map_or(0, length)
            }
            Self::Photograph(path) => path.as_os_str().len() as u64,
            Self::Drawn { .. } => 0,
        }
    }

    /// Paths are next to nothing beside pixels.
    fn planned(_: &Facts) -> Option<u64> {
        Some(0)
    }
}

/// Per-channel normalisation `(x / 255 - mean) / std`, recorded by `normalize` and applied where the pixels become floats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, of values in 0..1.
    pub std: [f32; 3],
}

impl Default for Normalization {
    /// Only scales to 0..1.
    fn default() -> Self {
        Self { mean: [0.0; 3], std: [1.0; 3] }
    }
}

/// What the values of a mask are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MaskKind {
    /// How much of a pixel is vessel, in 255ths: 0 or 255 in a mask of its own size, between them where one was made smaller.
    #[default]
    Share,
    /// Numbers of [`Classes`](crate::Classes), 255 where a pixel is ignored.
    Class,
}

/// The least share of a pixel, in 255ths, that counts as vessel where it is one or the other.
pub const VESSEL: u8 = 128;

/// Where a photograph's own pixels are, for pictures at its own size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnPixels {
    /// Nobody needs them.
    Dropped,
    /// They are the pair's.
    OfPair,
    /// Here: RGB, 8 bit, `[height, width, 3]`, since the pair's have another size.
    Kept(Vec<u8>),
}

/// What belongs to a photograph at its own size: the mask as it was drawn, which an evaluation compares with, and what pictures need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// `[height, width]`; 0 or 255, or class numbers. Empty where there is none.
    pub mask: Vec<u8>,
    /// The photograph's pixels.
    pub pixels: OwnPixels,
    /// Where the photograph shows the eye, 1 or 0, `[height, width]`; `None` where it does so everywhere.
    pub inside: Option<Vec<u8>>,
    /// The part of the pair that shows the whole photograph, without what pads it: its first row and column, its height and width.
    pub shown: [usize; 4],
}

impl Original {
    fn bytes(&self) -> u64 {
        let pixels = match &self.pixels {
            OwnPixels::Kept(pixels) => pixels.capacity(),
            OwnPixels::Dropped | OwnPixels::OfPair => 0,
        };
        (self.mask.capacity() + pixels + self.inside.as_ref().map_or(0, Vec::capacity)) as u64
    }
}

/// A decoded photograph and its mask, of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct ImagePair {
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// RGB, 8 bit, `[height, width, 3]`.
    pub image: Vec<u8>,
    /// `[height, width]`.
    pub mask: Vec<u8>,
    /// What the mask's values are.
    pub kind: MaskKind,
    /// How the pixels are normalised when they become floats.
    pub normalization: Normalization,
    /// What an evaluation at the photograph's own size needs. `None` in training, and where the pixels were moved since.
    pub original: Option<Box<Original>>,
    /// What may be wrong with the files that it was read from.
    pub doubts: Vec<Doubt>,
}

impl Original {
    /// Notes that a stage's `option` moves the pixels of pairs, which lose their originals with that.
    pub(crate) fn lose(facts: &mut Facts, option: &str) {
        if facts.get(fact::ORIGINAL).is_some() {
            facts.forget(fact::ORIGINAL);
            facts.set(fact::MOVED, 1, option);
        }
    }
}

impl Payload for ImagePair {
    const NAME: &'static str = "image_pair";

    fn bytes(&self) -> u64 {
        (self.image.capacity() + self.mask.capacity()) as u64 + self.original.as_ref().map_or(0, |original| original.bytes())
    }

    /// Four bytes a pixel: three of the image, one of the mask; and the original mask.
    fn planned(facts: &Facts) -> Option<u64> {
        let original = match facts.get(fact::ORIGINAL) {
            Some(fact) => fact.value.as_u64()?,
            None => 0,
        };
        pixels(facts)?.checked_mul(4)?.checked_add(original)
    }
}

/// Pixels of a pair at most; `None` where it isn't known.
pub(crate) fn pixels(facts: &Facts) -> Option<u64> {
    let (height, width) = match facts.integer(fact::HEIGHT).zip(facts.integer(fact::WIDTH)) {
        Some(size) => size,
        None => serde_json::from_value(facts.get(fact::LARGEST)?.value.clone()).ok()?,
    };
    u64::checked_mul(height, width)
}

/// A micro-batch of pairs of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The samples' ids, in order.
    pub samples: Vec<Arc<str>>,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// RGB, 8 bit, `[batch, height, width, 3]`.
    pub images: Vec<u8>,
    /// `[batch, height, width]`.
    pub masks: Vec<u8>,
    /// What the masks' values are.
    pub kind: MaskKind,
    /// How the pixels are normalised when they become floats.
    pub normalization: Normalization,
    /// The pairs' originals, in order.
    pub originals: Vec<Option<Box<Original>>>,
}

impl Payload for Batch {
    const NAME: &'static str = "batch";

    fn bytes(&self) -> u64 {
        let originals = self.originals.iter().flatten().map(|original| original.bytes()).sum::<u64>();
        (self.images.capacity() + self.masks.capacity()) as u64 + originals
    }

    fn planned(facts: &Facts) -> Option<u64> {
        ImagePair::planned(facts)?.checked_mul(facts.integer(fact::BATCH)?)
    }
}
