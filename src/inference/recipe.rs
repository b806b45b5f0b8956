//! From a model's card to the stages that prepare photographs for it. What a user asks for goes before what the card says.

use std::path::{Path, PathBuf};

use pipeline_contract::{Facts, Result, StageError, fact};
use pipeline_images::{Filter, Fit, Resized};
use pipeline_training::Precision;
use pipeline_training::model::{Card, CardTiles, card_of};
use serde_json::{Map, Value, json};

/// The names of the precisions.
pub const PRECISIONS: &[&str] = Precision::NAMES;

/// The size at which a network sees photographs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Their own.
    Own,
    /// `[height, width]` in pixels.
    Pixels([usize; 2]),
}

/// Whether photographs are predicted in tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiles {
    /// Whole.
    Whole,
    /// In tiles of `[height, width]` pixels.
    Pixels([usize; 2]),
}

/// What may be chosen for a prediction; `None`: as the model's file says.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// The size that the network sees.
    pub size: Option<Size>,
    /// Tiles or not.
    pub tiles: Option<Tiles>,
    /// The share of a tile that the next one covers again.
    pub overlap: Option<f64>,
    /// Photographs, or tiles, in a pass.
    pub batch: Option<usize>,
    /// In how many positions each photograph is predicted: `none`, `flips` or `all`.
    pub turns: Option<String>,
    /// A pixel is vessel if its probability exceeds this.
    pub threshold: Option<f32>,
    /// The device's name.
    pub device: Option<String>,
    /// `no`, `fp16` or `bf16`.
    pub precision: Option<String>,
    /// Whether an evaluation counts all pixels, not the field of view alone.
    pub whole_image: bool,
    /// CPU workers that decode photographs; `None`: one for each core.
    pub workers: Option<usize>,
    /// Whether what is doubtful is an error.
    pub strict: bool,
}

/// A model's file: the path itself, or of a run's folder its `model.safetensors`.
pub fn model_file(path: &Path) -> PathBuf {
    let inside = path.join("model.safetensors");
    if path.is_dir() && inside.exists() { inside } else { path.to_owned() }
}

/// How photographs are prepared and predicted.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// The models' files.
    pub models: Vec<PathBuf>,
    /// What the first says of itself.
    pub card: Card,
    /// How photographs are resized; `None`: not.
    pub resized: Option<Resized>,
    /// The tiles; `None`: whole.
    pub tiles: Option<CardTiles>,
    /// What was chosen.
    pub choices: Choices,
}

impl Recipe {
    /// From the models' files and what was chosen.
    ///
    /// # Errors
    /// When a model can't be read, or it was trained on photographs of their own size and doesn't say of which.
    pub fn of(models: &[PathBuf], choices: &Choices) -> Result<Self> {
        let models: Vec<PathBuf> = models.iter().map(|path| model_file(path)).collect();
        let first = models.first().ok_or_else(|| StageError::new("no model is named"))?;
        let card = card_of(first)?;
        let resized = match (choices.size, card.input) {
            (Some(Size::Own), _) => None,
            (Some(Size::Pixels(size)), Some(input)) => Some(Resized { size, ..input }),
            (Some(Size::Pixels(size)), None) => Some(Resized { size, fit: Fit::Stretch, filter: Filter::Bilinear }),
            (None, input) => input,
        };
        let overlap = choices.overlap.or(card.tiles.map(|tiles| tiles.overlap)).unwrap_or(0.5);
        let tiles = match choices.tiles {
            Some(Tiles::Whole) => None,
            Some(Tiles::Pixels(size)) => Some(CardTiles { size, overlap }),
            None if resized == card.input => card.tiling().map(|tiles| CardTiles { overlap, ..tiles }),
            None => match resized {
                Some(_) => card.tiles.map(|tiles| CardTiles { overlap, ..tiles }),
                None => card.trained_size.map(|size| CardTiles { size, overlap }),
            },
        };
        if choices.overlap.is_some() && tiles.is_none() {
            return Err(StageError::new("--overlap is of tiles, and photographs are predicted whole").help("add --tiles 512"));
        }
        if choices.threshold.is_some() && card.classes.len() > 2 {
            let classes = card.classes.join(", ");
            return Err(StageError::new(format!(
                "a threshold does nothing where a model tells {classes} apart: the most probable class counts"
            ))
            .help("leave out --threshold"));
        }
        if resized.is_none() && choices.tiles == Some(Tiles::Whole) {
            return Err(StageError::new("whole photographs of their own sizes can't be predicted")
                .help("give them a size: --size 512; or leave out --tiles none"));
        }
        if resized.is_none() && tiles.is_none() {
            return Err(StageError::new(format!("{} doesn't say at which size it sees photographs", first.display()))
                .help("say it: --size 512 resizes them as in training, --tiles 512 predicts them at their own size in tiles"));
        }
        Ok(Self { models, card, resized, tiles, choices: choices.clone() })
    }

    /// As [`Self::of`], where a file's stages prepare the photographs.
    ///
    /// # Errors
    /// When a model can't be read.
    pub fn of_file(models: &[PathBuf], choices: &Choices) -> Result<Self> {
        let models: Vec<PathBuf> = models.iter().map(|path| model_file(path)).collect();
        let card = card_of(models.first().ok_or_else(|| StageError::new("no model is named"))?)?;
        let tiles = match choices.tiles {
            Some(Tiles::Pixels(size)) => Some(CardTiles { size, overlap: choices.overlap.unwrap_or(0.5) }),
            Some(Tiles::Whole) | None => None,
        };
        Ok(Self { models, card, resized: None, tiles, choices: choices.clone() })
    }

    /// The stages between the names of photographs and the models.
    pub fn stages(&self) -> Vec<Value> {
        let workers = self.choices.workers.unwrap_or_else(rayon::current_num_threads);
        let mut stages = vec![json!({"id": "decode", "use": "decode", "workers": workers})];
        if let Some(resized) = self.resized {
            stages.push(json!({"id": "resize", "use": "resize", "with": resized}));
        }
        if self.card.normalization != pipeline_images::Normalization::default() {
            stages.push(json!({"id": "normalize", "use": "normalize", "with": self.card.normalization}));
        }
        // Photographs of their own sizes don't share a batch.
        let batch = if self.tiles.is_some() { 1 } else { self.choices.batch.unwrap_or(1) };
        stages.push(json!({"id": "batch", "use": "batch", "with": {"size": batch}}));
        stages
    }

    /// The tiles of a file's evaluation, from its option: `auto` is what the model's card says, and the command's overlap and batch go before the file's.
    pub fn tiles_of(&self, option: Option<&Value>) -> Option<Value> {
        let mut tiles = option.filter(|tiles| tiles.is_object())?.clone();
        if tiles["size"] == "auto" {
            let size = self.card.tiles.map(|tiles| tiles.size).or(self.card.trained_size);
            tiles["size"] = json!(size);
        }
        if tiles["batch"] == "auto" {
            tiles["batch"] = json!(1);
        }
        if let Some(overlap) = self.choices.overlap {
            tiles["overlap"] = json!(overlap);
        }
        if let Some(batch) = self.choices.batch {
            tiles["batch"] = json!(batch);
        }
        Some(tiles)
    }

    /// Warns where the images of an evaluation, of which this is known, are prepared in another way than the model was trained with.
    pub fn suits(&self, images: Option<&Facts>, evaluator: &str) {
        let said = |name| images.and_then(|images| images.get(name)).map(|fact| fact.value.clone()).unwrap_or_default();
        let normalization = self.card.normalization != pipeline_images::Normalization::default();
        for (what, own, file) in [
            ("normalised", if normalization { json!(self.card.normalization) } else { Value::Null }, said(fact::NORMALIZED)),
            ("resized", json!(self.card.input), said(fact::RESIZED)),
        ] {
            if own != file {
                tracing::warn!(
                    "the images of `{evaluator}` are {what} in another way than those of the model: {file} instead of {own}"
                );
            }
        }
    }

    /// The options of the stage that predicts.
    pub fn options(&self) -> Map<String, Value> {
        let models: Vec<String> = self.models.iter().map(|path| escaped(&path.display().to_string())).collect();
        let mut options = Map::from_iter([("models".to_owned(), json!(models))]);
        if let Some(CardTiles { size, overlap }) = self.tiles {
            let batch = self.choices.batch.unwrap_or(1);
            options.insert("tiles".to_owned(), json!({"size": size, "overlap": overlap, "batch": batch}));
        }
        let turns = self.choices.turns.as_ref().map(|turns| ("turns".to_owned(), json!(turns)));
        let threshold = self.choices.threshold.map(|threshold| ("threshold".to_owned(), json!(threshold)));
        options.extend(turns.into_iter().chain(threshold));
        options
    }

    /// The file's `trainer:` block.
    pub fn trainer(&self) -> Map<String, Value> {
        let precision = self.choices.precision.as_ref().unwrap_or(&self.card.precision);
        let mut trainer =
            Map::from_iter([("num_epochs".to_owned(), json!(1)), ("mixed_precision".to_owned(), json!(precision))]);
        trainer.extend(self.choices.device.as_ref().map(|device| ("device".to_owned(), json!(escaped(device)))));
        trainer
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        let side =
            |[height, width]: [usize; 2]| if height == width { height.to_string() } else { format!("{height} x {width}") };
        let size =
            self.resized.map_or_else(|| "at their own size".to_owned(), |resized| format!("resized to {}", side(resized.size)));
        let tiles = self.tiles.map(|tiles| format!(", in tiles of {} that overlap by {}", side(tiles.size), tiles.overlap));
        size + &tiles.unwrap_or_default()
    }
}

/// A text that a pipeline file reads as it is, without references.
pub(super) fn escaped(text: &str) -> String {
    text.replace("${", "$${")
}
