//! The option `tiles`: the network sees a test image window by window. Where windows lie and how they are averaged is in `sliding`; what is chosen for
//! a memory budget, in `plan`.

use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Facts, Finding, OptionSpec, OptionType, Place, Result, StageError, fact};
use pipeline_images::height_width;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::Value;

use crate::micro_batch::{MicroBatch, Pixels};
use crate::model::CardTiles;
use crate::sliding::{Windows, predict};
use crate::trainee::Trainee;

/// How an image is divided, as the file has it. `None` stands for `auto`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::stages) struct Tiles {
    /// Height and width in pixels.
    #[serde(deserialize_with = "size")]
    size: Option<[usize; 2]>,
    /// The share of a tile that the next one covers again.
    overlap: f64,
    /// Tiles in a pass.
    #[serde(deserialize_with = "batch")]
    batch: Option<usize>,
}

/// How an image is divided, with everything known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tiling {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// The share of a tile that the next one covers again.
    pub overlap: f64,
    /// Tiles in a pass.
    pub batch: usize,
    /// Whether the file leaves the size to the plan (`size: auto`).
    pub free_size: bool,
    /// Whether the file leaves the number of tiles in a pass to the plan (`batch: auto`).
    pub free_batch: bool,
}

const AUTO: &str = "auto";

fn unless_auto<'de, D: Deserializer<'de>, T>(
    from: D,
    read: impl Fn(Value) -> serde_json::Result<T>,
) -> std::result::Result<Option<T>, D::Error> {
    match Value::deserialize(from)? {
        Value::String(text) if text == AUTO => Ok(None),
        value => read(value).map(Some).map_err(D::Error::custom),
    }
}

fn size<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<[usize; 2]>, D::Error> {
    unless_auto(from, height_width)
}

fn batch<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<usize>, D::Error> {
    unless_auto(from, serde_json::from_value)
}

impl Tiles {
    /// Declares the option.
    pub fn option() -> OptionSpec {
        let side = || OptionType::Integer { min: 1, max: 1 << 15 };
        let auto = || OptionType::Choice(&[AUTO]);
        OptionSpec::optional(
            "tiles",
            OptionType::Group(vec![
                OptionSpec::required(
                    "size",
                    OptionType::AnyOf(vec![side(), OptionType::List { of: Box::new(side()), min: 2, max: 2 }, auto()]),
                    "height and width of a tile in pixels: one number for a square, or [height, width]; multiples of the network's stride. auto: \
                     the size that the network trains on, or with a memory budget the fastest that fits it",
                ),
                OptionSpec::new(
                    "overlap",
                    OptionType::Number { min: 0.0, max: 0.95 },
                    0.5,
                    "share of a tile's side that the next tile covers again; more is slower, and smoother at the seams",
                ),
                OptionSpec::new(
                    "batch",
                    OptionType::AnyOf(vec![OptionType::Integer { min: 1, max: 1 << 12 }, auto()]),
                    1,
                    "tiles that the network sees at a time; auto: 1, or with a memory budget as many as are fastest",
                )
                .harmless(),
            ]),
            "predicts a test image tile by tile, so that it may have any size; where tiles overlap, their probabilities are averaged with Gaussian \
             weights",
        )
    }

    /// With what the file leaves open settled by `steps`, what is known of the training: its images' size, one tile at a time. `None` where that
    /// size isn't known.
    pub fn settled(&self, steps: Option<&Facts>) -> Option<Tiling> {
        let side = |name| usize::try_from(steps?.integer(name)?).ok();
        let trained = || Some([side(fact::HEIGHT)?, side(fact::WIDTH)?]);
        Some(Tiling {
            size: self.size.or_else(trained)?,
            overlap: self.overlap,
            batch: self.batch.unwrap_or(1),
            free_size: self.size.is_none(),
            free_batch: self.batch.is_none(),
        })
    }

    /// The tiles of an evaluator with these options, of whose inputs this is known; `None` without tiles, and where their size isn't known.
    pub fn planned(options: &Value, inputs: &[Facts]) -> Option<Tiling> {
        let tiles: Self = serde_json::from_value(options.get("tiles")?.clone()).ok()?;
        tiles.settled(inputs.first())
    }

    /// An error where the network's stride doesn't divide a side, or no size is known.
    pub fn findings(&self, steps: Option<&Facts>, stride: u64) -> Option<Finding> {
        let place = Place::Option("tiles.size".into());
        let Some(Tiling { size, .. }) = self.settled(steps) else {
            let message = "`size: auto` is the size that the network trains on, which isn't known before the run";
            return Some(
                Finding::error(place, message)
                    .help("name a size, or make all training images of one size by `resize` or `crop`"),
            );
        };
        let side = size.into_iter().find(|&side| !(side as u64).is_multiple_of(stride))?;
        let message = format!("tiles of {side} pixels are not divisible by {stride}, the network's stride");
        Some(Finding::error(place, message).help(format!("choose {}", (side as u64).div_ceil(stride).max(1) * stride)))
    }
}

impl Tiling {
    /// What a run takes of the option.
    ///
    /// # Errors
    /// When the size is open and that of the training isn't known.
    pub(in crate::stages) fn of(tiles: &Tiles, steps: Option<&Facts>) -> Result<Self> {
        tiles.settled(steps).ok_or_else(|| {
            StageError::new("`tiles: {size: auto}` is the size that the network trains on, which isn't known")
                .help("name a size")
        })
    }

    /// Bytes of the host's memory that a pass's pixels, masks and logits take, and the map of an image of `pixels`.
    pub(in crate::stages) fn bytes(&self, pixels: u64, classes: u64) -> u64 {
        let [height, width] = self.size;
        let tiles = (self.batch as u64).saturating_mul((height as u64).saturating_mul(width as u64));
        tiles.saturating_mul(4 + 4 * classes).saturating_add(pixels.saturating_mul(4 * classes))
    }

    /// What a model's card says of them.
    pub(in crate::stages) fn card(&self) -> CardTiles {
        CardTiles { size: self.size, overlap: self.overlap }
    }

    /// Whether an image of this size is a single tile.
    pub(in crate::stages) fn is_whole(&self, size: [usize; 2]) -> bool {
        self.size == size
    }

    /// The probabilities of each image of a batch, `[classes, height, width]`.
    ///
    /// # Errors
    /// When the tiles don't fit the network, or the device fails.
    pub(super) fn predict(&self, trainee: &mut Trainee, batch: &MicroBatch) -> Result<Vec<Vec<f32>>> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(height: u64, width: u64) -> Facts {
        let mut facts = Facts::default();
        facts.set(fact::HEIGHT, height, "size");
        facts.set(fact::WIDTH, width, "size");
        facts
    }

    #[test]
    fn what_a_file_leaves_open_is_the_training_s() {
        let planned = |tiles: Value, steps: &[Facts]| Tiles::planned(&json!({"tiles": tiles}), steps);
        let open = planned(json!({"size": "auto", "overlap": 0.5, "batch": "auto"}), &[facts(96, 64)]);
        assert_eq!(open, Some(Tiling { size: [96, 64], overlap: 0.5, batch: 1, free_size: true, free_batch: true }));
        let given = Tiling { size: [128, 128], overlap: 0.25, batch: 4, free_size: false, free_batch: false };
        assert_eq!(planned(json!({"size": 128, "overlap": 0.25, "batch": 4}), &[facts(96, 64)]), Some(given));
        assert_eq!(planned(json!({"size": 128, "overlap": 0.25, "batch": 4}), &[]), Some(given));
        assert_eq!(planned(json!({"size": "auto", "overlap": 0.5, "batch": 1}), &[Facts::default()]), None);
        assert_eq!(planned(Value::Null, &[facts(96, 64)]), None);
        assert_eq!(planned(json!({"size": "large", "overlap": 0.5, "batch": 1}), &[facts(96, 64)]), None);
    }

    #[test]
    fn an_unknown_size_and_a_misfit_are_errors_of_the_option() {
        let found = |size: Value, steps: &Facts| {
            let tiles: Option<Tiles> = serde_json::from_value(json!({"size": size, "overlap": 0.5, "batch": 1})).ok();
            tiles.and_then(|tiles| tiles.findings(Some(steps), 16))
        };
        assert_eq!(found(json!("auto"), &facts(96, 64)), None);
        assert_eq!(found(json!([96, 64]), &Facts::default()), None);
        let unknown = found(json!("auto"), &Facts::default()).map(|finding| (finding.place, finding.message));
        assert!(
            unknown
                .is_some_and(|(place, message)| place == Place::Option("tiles.size".into()) && message.contains("isn't known"))
        );
        let misfit = found(json!([96, 72]), &Facts::default()).and_then(|finding| finding.help);
        assert_eq!(misfit.as_deref(), Some("choose 80"));
    }
}
