//! The network in a checkpoint of a run. What else a checkpoint holds is the run's business.

use std::collections::{BTreeMap, HashMap};

use pipeline_contract::{Result, StageError};
use safetensors::SafeTensors;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Card;
use crate::parameters::{Layout, Role, Values};
use crate::weights::floats;

/// What a checkpoint says it is.
const FORMAT: &str = "pipeline checkpoint";

/// The part of a checkpoint's state that concerns the network.
#[derive(Deserialize)]
struct State {
    /// What each stage saved, by its id.
    stages: Vec<(String, Map<String, Value>)>,
}

/// Whether metadata is that of a checkpoint.
pub(super) fn is_checkpoint(metadata: &HashMap<String, String>) -> bool {
    metadata.get("format").is_some_and(|format| format == FORMAT)
}

/// The stage that owns the network, its saved values, and the stage that keeps an average of the weights.
pub(super) struct Contents {
    trainer: (String, Map<String, Value>),
    average: Option<String>,
    sums: BTreeMap<String, String>,
}

impl Contents {
    /// Reads a checkpoint's metadata.
    ///
    /// # Errors
    /// When it holds no network, or can't be read.
    pub fn read(metadata: &HashMap<String, String>) -> Result<Self> {
        let damaged =
            |what: &str| StageError::new(format!("the checkpoint is damaged: {what}")).help("take an earlier checkpoint");
        let text = |key: &str| metadata.get(key).map(String::as_str).ok_or_else(|| damaged(&format!("it has no {key}")));
        let state: State = serde_json::from_str(text("state")?).map_err(|error| damaged(&error.to_string()))?;
        let sums = serde_json::from_str(text("sha256")?).map_err(|error| damaged(&error.to_string()))?;
        let has = |stage: &&(String, Map<String, Value>), key: &str| stage.1.contains_key(key);
        let average = state.stages.iter().find(|stage| has(stage, "average")).map(|(id, _)| id.clone());
        let trainer = state.stages.iter().find(|stage| has(stage, "weights") && has(stage, "counters")).cloned();
        let trainer = trainer.ok_or_else(|| StageError::new("the checkpoint holds no network"))?;
        Ok(Self { trainer, average, sums })
    }

    /// The card that the network had.
    ///
    /// # Errors
    /// When an earlier program wrote the checkpoint, which kept none.
    pub fn card(&self) -> Result<Card> {
        let card = self.trainer.1.get("model").ok_or_else(|| {
            StageError::new("the checkpoint was written by an earlier version and doesn't describe its network")
                .help("resume the run, or use its model.safetensors")
        })?;
        let mut card: Card = serde_json::from_value(card.clone())
            .map_err(|error| StageError::new(format!("the network's card can't be read: {error}")))?;
        if self.average.is_some() {
            card.weights = "average".to_owned();
        }
        Ok(card)
    }

    /// The tensors of a network of this layout: its weights, or their average where there is one. Their checksums are checked.
    ///
    /// # Errors
    /// When they are of another network, or damaged.
    pub fn values(&self, layout: &Layout, file: &SafeTensors<'_>) -> Result<Values> {
        let (trainer, saved) = &self.trainer;
        let mut values = Values::default();
        let weights = self.average.as_ref().map_or((trainer, "weights"), |stage| (stage, "average"));
        for spec in layout.specs() {
            let (stage, kind) = match spec.role {
                Role::Trained => weights,
                Role::Statistic => (trainer, "statistics"),
                Role::Counter => continue,
            };
            let name = format!("{stage}/{kind}.{}", spec.slot);
            let read = self.tensor(file, &name)?;
            if Some(read.len()) != spec.elements() {
                let message = format!("{} holds {} values, not {:?}", spec.name, read.len(), spec.elements());
                return Err(StageError::new(message).help("the model must be the one that the checkpoint is of"));
            }
            values.push(spec.role, read);
        }
        let counters = saved.get("counters").cloned().unwrap_or_default();
        values.counters = serde_json::from_value(counters).map_err(|error| StageError::new(format!("counters: {error}")))?;
        match values.counters.len() == layout.of(Role::Counter).count() {
            true => Ok(values),
            false => Err(StageError::new("the saved counters are of another network")),
        }
    }

    /// A tensor whose checksum is right: of its name, its type and what it holds, each preceded by its length.
    fn tensor(&self, file: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>> {
        let view = file.tensor(name).map_err(|_| StageError::new(format!("the checkpoint has no {name}")))?;
        let mut hash = Sha256::new();
        for part in [name.as_bytes(), view.dtype().to_string().as_bytes(), view.data()] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let sum: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        match self.sums.get(name) == Some(&sum) && view.dtype() == safetensors::Dtype::F32 {
            true => Ok(floats(view.data())),
            false => Err(StageError::new(format!("the checkpoint is damaged: the checksum of {name} is wrong"))
                .help("take an earlier checkpoint")),
        }
    }
}
