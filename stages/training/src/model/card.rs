//! What a model's file says of its use, as JSON in the file's metadata. Holds no tensors.

use std::collections::{BTreeMap, HashMap};

use pipeline_contract::events::EvalEvent;
use pipeline_contract::{Facts, PipelineId, Result, StageError, fact};
use pipeline_images::{Classes, Normalization, Resized};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::network::Network;
use crate::networks;
use crate::onnx;

/// The metadata key of the card.
const KEY: &str = "model";
/// The metadata key of what the file is.
const FORMAT_KEY: &str = "format";
/// What the file is.
const FORMAT: &str = "pipeline model";
/// The version of the card that is written.
const VERSION: &str = "1";

/// All that the use of a model needs beside its tensors. What an earlier program didn't write is `None`, or the default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The network: its name with all its options, as `model:` of a trainer has them.
    pub network: Value,
    /// How a photograph is brought to the network's size; `None`: it is seen at its own.
    #[serde(default)]
    pub input: Option<Resized>,
    /// Height and width in pixels of what the network was trained on: photographs, or pieces of them.
    #[serde(default)]
    pub trained_size: Option<[usize; 2]>,
    /// How pixels become floats.
    #[serde(default)]
    pub normalization: Normalization,
    /// The names of the classes, the background first.
    #[serde(default)]
    pub classes: Vec<String>,
    /// A pixel is vessel if its probability exceeds this.
    #[serde(default = "half")]
    pub threshold: f32,
    /// The tiles in which photographs are predicted; `None`: whole.
    #[serde(default)]
    pub tiles: Option<CardTiles>,
    /// The precision that it was trained in: `no`, `fp16` or `bf16`.
    #[serde(default = "full_precision")]
    pub precision: String,
    /// Which weights these are: `trained`, or their moving `average`.
    #[serde(default = "trained")]
    pub weights: String,
    /// The epoch after which these were the weights, from 1.
    #[serde(default)]
    pub epoch: Option<u64>,
    /// What evaluators measured last, by their ids: each metric's mean, with `epoch` and `part`.
    #[serde(default)]
    pub figures: BTreeMap<String, Map<String, Value>>,
    /// The run that trained it.
    #[serde(default)]
    pub run: Option<Origin>,
}

/// The run that a model comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// The SHA-256 of its `resolved.yml`.
    pub pipeline_sha256: String,
}

/// Tiles of a photograph.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CardTiles {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// The share of a tile that the next one covers again.
    pub overlap: f64,
}

fn half() -> f32 {
    0.5
}

fn full_precision() -> String {
    "no".to_owned()
}

fn trained() -> String {
    "trained".to_owned()
}

impl Card {
    /// The card of a network (its option `model`) without anything else.
    pub fn new(network: Value) -> Self {
        Self {
            network,
            input: None,
            trained_size: None,
            normalization: Normalization::default(),
            classes: Vec::new(),
            threshold: half(),
            tiles: None,
            precision: full_precision(),
            weights: trained(),
            epoch: None,
            figures: BTreeMap::new(),
            run: None,
        }
    }

    /// The card of a network that is trained on items of which this is known.
    pub fn of_training(network: Value, classes: usize, precision: &str, items: &Facts) -> Self {
        let side = |name| items.integer(name).and_then(|side| usize::try_from(side).ok());
        let trained_size = side(fact::HEIGHT).zip(side(fact::WIDTH)).map(|(height, width)| [height, width]);
        let mut card = Self { trained_size, precision: precision.to_owned(), ..Self::new(network) };
        card.prepare(items);
        card.classes = match (Classes::of(items), classes) {
            (Some(named), _) if classes == 1 || named.names.len() == classes => named.names,
            (_, 1) => ["background", "vessel"].map(String::from).into(),
            _ => Classes::unnamed(classes).names,
        };
        // Pieces of photographs: whole ones are predicted in tiles of their size.
        card.tiles = items.get(fact::CROPPED).and(trained_size).map(|size| CardTiles { size, overlap: 0.5 });
        card
    }

    /// Takes over how photographs are prepared, from what is known of their items.
    pub fn prepare(&mut self, items: &Facts) {
        fn read<T: serde::de::DeserializeOwned>(items: &Facts, name: &str) -> Option<T> {
            serde_json::from_value(items.get(name)?.value.clone()).ok()
        }
        self.input = read(items, fact::RESIZED);
        self.normalization = read(items, fact::NORMALIZED).unwrap_or_default();
    }

    /// Keeps what an evaluator has measured.
    pub fn note(&mut self, evaluation: &EvalEvent) {
        let EvalEvent { epoch, stage, part, metrics, images, .. } = evaluation;
        let mut figures = Map::from_iter([("epoch".to_owned(), (*epoch).into())]);
        figures.extend(part.clone().map(|part| ("part".to_owned(), part.into())));
        figures.insert("images".to_owned(), (*images).into());
        figures.extend(metrics.iter().map(|(name, value)| (name.to_string(), serde_json::json!(value))));
        self.figures.insert(stage.clone(), figures);
        self.epoch = Some(*epoch);
    }

    /// Says which run it comes from.
    pub fn comes_from(&mut self, pipeline: &PipelineId, seed: u64) {
        self.run = Some(Origin { name: pipeline.name.clone(), seed, pipeline_sha256: pipeline.sha256.clone() });
    }

    /// The tiles in which a photograph is predicted that isn't resized and needn't have the size that was trained on; `None` where all have one size.
    pub fn tiling(&self) -> Option<CardTiles> {
        let own = |size| CardTiles { size, overlap: 0.5 };
        self.tiles.or_else(|| if self.input.is_none() { self.trained_size.map(own) } else { None })
    }

    /// Builds the network.
    ///
    /// # Errors
    /// When this program has no such network.
    pub fn build(&self) -> Result<Network> {
        networks::build(&self.network)
    }

    /// What an ONNX file says of the model.
    pub fn about(&self) -> onnx::About {
        onnx::About {
            normalization: self.normalization,
            classes: self.classes.clone(),
            threshold: Some(self.threshold),
            input: self.input.map(|input| input.size),
            model: serde_json::to_string(self).ok(),
        }
    }

    /// The card as metadata.
    pub fn metadata(&self) -> Vec<(String, String)> {
        // A card has nothing that JSON lacks: its floats are finite, as the file's options were.
        let card = serde_json::to_string(self).unwrap_or_default();
        let pairs = [(FORMAT_KEY, FORMAT.to_owned()), ("format_version", VERSION.to_owned()), (KEY, card)];
        pairs.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// The card in a file's metadata; of files of earlier programs the network alone.
    ///
    /// # Errors
    /// When the metadata says nothing of a network, or this program can't read what it says.
    pub fn read(metadata: &HashMap<String, String>) -> Result<Self> {
        if let Some(card) = metadata.get(KEY) {
            return serde_json::from_str(card).map_err(|error| {
                StageError::new(format!("its card can't be read: {error}"))
                    .help("was it written by a newer version of the program?")
            });
        }
        if !metadata.contains_key("base") {
            return Err(StageError::new("it doesn't say which network it is of")
                .help("name a model.safetensors or a checkpoint of a run"));
        }
        let name = metadata.get("network").map_or("unet", String::as_str);
        let described = |key: &str| !["network", "format", "pt"].contains(&key);
        let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let given = metadata.iter().filter(|(key, _)| described(key)).map(|(key, text)| (key.clone(), value(text))).collect();
        let options = networks::options(name, given)?;
        let card = Self::new(Value::Object(Map::from_iter([(name.to_owned(), Value::Object(options))])));
        let classes = card.build()?.classes;
        let names =
            if classes == 1 { ["background", "vessel"].map(String::from).into() } else { Classes::unnamed(classes).names };
        Ok(Self { classes: names, ..card })
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    fn network(base: usize) -> Value {
        let given = Map::from_iter([("base".to_owned(), json!(base))]);
        json!({"unet": networks::options("unet", given).unwrap()})
    }

    #[test]
    fn a_card_comes_back_as_it_was_written() {
        let mut items = Facts::default();
        items.set(fact::HEIGHT, 96u64, "size");
        items.set(fact::WIDTH, 64u64, "size");
        items.set(fact::RESIZED, json!({"size": [96, 64], "fit": "pad", "filter": "lanczos3"}), "size");
        items.set(fact::NORMALIZED, json!({"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}), "mean");
        let mut card = Card::of_training(network(4), 1, "fp16", &items);
        card.comes_from(&PipelineId { name: "a".into(), sha256: "b".into() }, 3);
        card.threshold = 0.37;
        assert_eq!((card.input.map(|input| input.size), card.normalization.mean), (Some([96, 64]), [0.1, 0.2, 0.3]));
        let again = Card::read(&card.metadata().into_iter().collect()).expect("its own metadata");
        assert_eq!(again, card);
        assert_eq!((again.tiling(), again.classes), (None, vec!["background".to_owned(), "vessel".to_owned()]));
    }

    #[test]
    fn pieces_are_predicted_in_tiles_and_what_has_its_own_size_in_tiles_of_what_was_seen() {
        let mut items = Facts::default();
        items.set(fact::HEIGHT, 64u64, "size");
        items.set(fact::WIDTH, 48u64, "size");
        let whole = Card::of_training(network(4), 1, "no", &items);
        assert_eq!((whole.tiles, whole.tiling().map(|tiles| tiles.size)), (None, Some([64, 48])));
        items.set(fact::CROPPED, json!([64, 48]), "size");
        assert_eq!(Card::of_training(network(4), 1, "no", &items).tiles, Some(CardTiles { size: [64, 48], overlap: 0.5 }));
    }

    #[test]
    fn metadata_of_earlier_programs_gives_the_network() {
        let metadata = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let card =
            Card::read(&metadata(&[("base", "4"), ("depth", "2"), ("norm", "batch"), ("classes", "3"), ("network", "frunet")]));
        let card = card.expect("a network");
        let network = card.build().expect("FR-UNet");
        assert_eq!((network.classes, card.classes.len(), card.threshold), (3, 3, 0.5));
        assert_eq!(card.network["frunet"]["base"], json!(4));
        for wrong in [&[("format", "pt")][..], &[("base", "4"), ("network", "none")], &[("base", "4"), ("mood", "good")]] {
            assert!(Card::read(&metadata(wrong)).is_err(), "{wrong:?}");
        }
        assert!(Card::read(&metadata(&[("model", "{")])).is_err());
    }
}
