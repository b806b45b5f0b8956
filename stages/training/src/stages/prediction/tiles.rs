//! The option `tiles`: the network sees a test image window by window. Where windows lie and how they are averaged is in `sliding`.

use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Finding, OptionSpec, OptionType, Place, Result};
use pipeline_images::height_width;
use serde::Deserialize;
use serde_json::Value;

use crate::micro_batch::{MicroBatch, Pixels};
use crate::model::Tiling;
use crate::sliding::{Windows, predict};
use crate::trainee::Trainee;

/// How an image is divided.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::stages) struct Tiles {
    /// Height and width in pixels.
    #[serde(deserialize_with = "height_width")]
    size: [usize; 2],
    /// The share of a tile that the next one covers again.
    overlap: f64,
    /// Tiles in a pass.
    batch: usize,
}

impl Tiles {
    /// Declares the option.
    pub fn option() -> OptionSpec {
        let side = || OptionType::Integer { min: 1, max: 1 << 15 };
        OptionSpec::optional(
            "tiles",
            OptionType::Group(vec![
                OptionSpec::required(
                    "size",
                    OptionType::AnyOf(vec![side(), OptionType::List { of: Box::new(side()), min: 2, max: 2 }]),
                    "height and width of a tile in pixels: one number for a square, or [height, width]; multiples of the network's stride",
                ),
                OptionSpec::new(
                    "overlap",
                    OptionType::Number { min: 0.0, max: 0.95 },
                    0.5,
                    "share of a tile's side that the next tile covers again; more is slower, and smoother at the seams",
                ),
                OptionSpec::new(
                    "batch",
                    OptionType::Integer { min: 1, max: 1 << 12 },
                    1,
                    "tiles that the network sees at a time",
                )
                .harmless(),
            ]),
            "predicts a test image tile by tile, so that it may have any size; where tiles overlap, their probabilities are averaged with Gaussian \
             weights",
        )
    }

    /// What of an evaluator's options concerns a plan: tiles at a time, and their height and width in pixels; `None` without tiles.
    pub fn planned(options: &Value) -> Option<(usize, usize, usize)> {
        let tiles: Self = serde_json::from_value(options.get("tiles")?.clone()).ok()?;
        Some((tiles.batch, tiles.size[0], tiles.size[1]))
    }

    /// Bytes of the host's memory that a pass's pixels, masks and logits take, and the map of an image of `pixels`.
    pub fn bytes(options: &Value, pixels: u64, classes: u64) -> u64 {
        let Some((batch, height, width)) = Self::planned(options) else { return 0 };
        let tiles = (batch as u64).saturating_mul((height * width) as u64);
        tiles.saturating_mul(4 + 4 * classes).saturating_add(pixels.saturating_mul(4 * classes))
    }

    /// An error for each side that the network's stride doesn't divide.
    pub fn findings(&self, stride: u64) -> Vec<Finding> {
        let misfit = |side: &&usize| !(**side as u64).is_multiple_of(stride);
        let finding = |&side: &usize| {
            let message = format!("tiles of {side} pixels are not divisible by {stride}, the network's stride");
            Finding::error(Place::Option("tiles.size".into()), message)
                .help(format!("choose {}", (side as u64).div_ceil(stride).max(1) * stride))
        };
        self.size.iter().filter(misfit).map(finding).take(1).collect()
    }

    /// What a model's card says of them.
    pub fn tiling(&self) -> Tiling {
        Tiling { size: self.size, overlap: self.overlap }
    }

    /// Whether an image of this size is a single tile.
    pub fn is_whole(&self, size: [usize; 2]) -> bool {
        self.size == size
    }

    /// The probabilities of each image of a batch, `[classes, height, width]`.
    ///
    /// # Errors
    /// When the tiles don't fit the network, or the device fails.
    pub fn predict(&self, trainee: &mut Trainee, batch: &MicroBatch) -> Result<Vec<Vec<f32>>> {
        let _host = memory::enter(Side::Host);
        let Pixels::Bytes(images, normalization) = &batch.pixels else { return Ok(Vec::new()) };
        let windows = Windows::new([batch.height, batch.width], self.size, self.overlap)?;
        let classes = trainee.network.classes;
        let mut forward = |tiles: MicroBatch| {
            let _device = memory::enter(Side::Device);
            trainee.predict(&tiles)
        };
        let images = images.chunks_exact(3 * batch.height * batch.width);
        images.map(|image| predict(image, *normalization, &windows, classes, self.batch, &mut forward)).collect()
    }
}
