//! The models that a stage predicts with: opened, compared with each other, and on their device. What they say is in `ensemble`.

use std::path::{Path, PathBuf};

use pipeline_contract::{Facts, Finding, OptionSpec, OptionType, Place, Result, StageError, StageKind, fact};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::device;
use crate::loss;
use crate::memory::Ledger;
use crate::model::{Card, Model, card_of};
use crate::network::{Checkpointing, Network};
use crate::policy::Setting;
use crate::precision::Precision;
use crate::trainee::{Shared, Trainee};

use super::tiles::{Tiles, Tiling};
use super::turns::{TURNS, TURNS_DOC};
use crate::stages::device_options;

/// The options about models and their device.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::stages) struct Members {
    /// Models or checkpoints.
    pub models: Vec<PathBuf>,
    device: String,
    mixed_precision: String,
    float32_matmul: String,
    memory_budget: u64,
    memory_pool: String,
}

/// Declares the options of a stage that predicts.
pub(in crate::stages) fn options(kind: StageKind) -> StageKind {
    let models = OptionType::List { of: Box::new(OptionType::Path), min: 1, max: 64 };
    let doc = "the trained networks: files model.safetensors, or checkpoints; of several the mean of the probabilities counts";
    kind.option(OptionSpec::required("models", models, doc))
        .option(device_options::device())
        .option(device_options::precision("precision of the maps, and of convolutions where the device has matrix units"))
        .option(device_options::products())
        .option(OptionSpec::from_key(
            "memory_budget",
            OptionType::Bytes,
            "trainer.memory_budget",
            0,
            "device memory limit; beyond it fewer images are predicted at a time; 0: no limit",
        ))
        .option(device_options::memory_pool())
        .option(Tiles::option())
        .option(OptionSpec::new("turns", OptionType::Choice(TURNS), "none", TURNS_DOC))
        .option(OptionSpec::optional(
            "threshold",
            OptionType::Number { min: 0.0, max: 1.0 },
            "a pixel is vessel if its probability exceeds this; by default what the model's file says",
        ))
}

/// The cards of models that predict together. Reads no tensors.
///
/// # Errors
/// When one can't be read, or expects other images or has other classes than the first.
fn cards(models: &[PathBuf]) -> Result<Vec<Card>> {
    let cards = models.iter().map(|path| card_of(path)).collect::<Result<Vec<_>>>()?;
    let Some((first, rest)) = cards.split_first() else { return Err(StageError::new("no model is named")) };
    for (card, path) in rest.iter().zip(&models[1..]) {
        let differs = [
            ("size", card.input != first.input || card.tiling() != first.tiling()),
            ("normalisation", card.normalization != first.normalization),
            ("classes", card.classes != first.classes),
        ];
        if let Some((what, _)) = differs.iter().find(|(_, differs)| *differs) {
            let shown = |path: &Path| path.display().to_string();
            return Err(StageError::new(format!("{} and {} differ in {what}", shown(&models[0]), shown(path))).help(
                "models that predict together see the same images and tell the same classes apart; predict with each by itself",
            ));
        }
    }
    Ok(cards)
}

/// The models' networks, and what of them or of the images doesn't fit.
pub(in crate::stages) fn misfits(
    members: &Members,
    tiles: Option<&Tiles>,
    images: Option<&Facts>,
) -> (Vec<Network>, Vec<Finding>) {
    let wrong = |error: &StageError| {
        let finding = Finding::error(Place::Option("models".into()), error.message());
        match error.mend() {
            Some(mend) => finding.help(mend),
            None => finding,
        }
    };
    let networks: Result<Vec<Network>> = cards(&members.models).and_then(|cards| cards.iter().map(Card::build).collect());
    let networks = match networks {
        Ok(networks) => networks,
        Err(error) => return (Vec::new(), vec![wrong(&error)]),
    };
    let known = |name| images.and_then(|images| images.integer(name)).map(|value| value as usize);
    let mut findings: Vec<Finding> = Vec::new();
    for network in &networks {
        let found = match (tiles, known(fact::HEIGHT).zip(known(fact::WIDTH))) {
            (Some(tiles), _) => tiles.findings(None, network.stride as u64).into_iter().collect(),
            (None, Some((height, width))) => {
                network.accepts(known(fact::BATCH).unwrap_or(1), height, width).err().iter().map(wrong).collect()
            }
            (None, None) => Vec::new(),
        };
        findings.extend(found);
    }
    findings.dedup_by(|left, right| left.message == right.message);
    (networks, findings)
}

/// The channels of the models' outputs, for a plan: 1 where they can't be read.
pub(in crate::stages) fn channels(options: &Value) -> u64 {
    let models: Vec<PathBuf> =
        options.get("models").and_then(|models| serde_json::from_value(models.clone()).ok()).unwrap_or_default();
    let network = models.first().and_then(|path| card_of(path).ok()?.build().ok());
    network.map_or(1, |network| network.classes as u64)
}

impl Members {
    /// The policies of their passes.
    ///
    /// # Errors
    /// When a precision is unknown.
    pub fn setting(&self) -> Result<Setting> {
        let precision = Precision::named(&self.mixed_precision);
        let precision = precision.ok_or_else(|| StageError::new(format!("there is no precision {}", self.mixed_precision)))?;
        let precision = precision.with_products(&self.float32_matmul);
        Ok(Setting { precision, checkpointing: Checkpointing::None, samples: usize::MAX })
    }

    /// Opens the device and loads all models onto it.
    ///
    /// # Errors
    /// When a model can't be read, or the device can't be used.
    pub fn open(&self) -> Result<(Vec<Shared>, String)> {
        cards(&self.models)?;
        device::set_memory_pool(&self.device, &self.memory_pool)?;
        let (opened, setting) = (device::open(&self.device)?, self.setting()?);
        device::supports(&opened, setting.precision)?;
        let ledger = Ledger::default();
        ledger.set_limit(Some(self.memory_budget).filter(|&bytes| bytes > 0));
        let load = |path: &PathBuf| {
            let Model { card, network, state } = Model::open(path, &opened.device)?;
            // Nothing is trained; a network in training has a loss.
            let loss = loss::parse(&json!(if network.classes == 1 { "bce_dice" } else { "ce_dice" }), network.classes)?;
            let mut trainee = Trainee::new(network, state, loss, setting, ledger.clone())?;
            trainee.card = Some(card);
            Ok(Shared::new(trainee))
        };
        Ok((self.models.iter().map(load).collect::<Result<_>>()?, opened.description))
    }
}

/// A stage that predicts, as a plan reads it.
pub(crate) struct Predicting {
    /// The networks of its models.
    pub networks: Vec<Network>,
    /// In which they compute.
    pub precision: Precision,
    /// The device's name.
    pub device: String,
    /// The tiles that it sees at a time, if it does: their number, height and width.
    pub tile: Option<(usize, usize, usize)>,
}

impl Predicting {
    /// From the stage's options.
    ///
    /// # Errors
    /// When a model can't be read.
    pub fn read(options: &Value) -> Result<Self> {
        let misfit = |error| StageError::new(format!("these aren't the options of a stage that predicts: {error}"));
        let members: Members = serde_json::from_value(options.clone()).map_err(misfit)?;
        let networks = cards(&members.models)?.iter().map(Card::build).collect::<Result<_>>()?;
        let tile = Tiles::planned(options, &[]).map(|Tiling { size: [height, width], batch, .. }| (batch, height, width));
        Ok(Self { networks, precision: members.setting()?.precision, device: members.device.clone(), tile })
    }
}
