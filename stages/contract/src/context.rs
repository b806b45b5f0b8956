//! What a stage knows of the run that it is in.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Events, Facts, Rng, stage_rng};

/// What a stage is given when it is built, on the thread that it will run on.
#[derive(Clone)]
pub struct BuildContext {
    /// The stage's id in the file.
    pub stage: String,
    /// The run's seed.
    pub seed: u64,
    /// How many epochs the run has.
    pub epochs: u64,
    /// What is known of the items at each input port (height, width, batch, samples, ...).
    pub facts: Vec<Facts>,
    /// The run's folder, where stages may leave files.
    pub out: PathBuf,
    /// Where figures go.
    pub events: Arc<dyn Events>,
}

impl BuildContext {
    /// The generator for choices that belong to no sample, such as initial weights (`purpose: "weights"`).
    pub fn rng(&self, epoch: u64, purpose: &str) -> Rng {
        stage_rng(self.seed, epoch, purpose, &self.stage)
    }
}

/// What a stage knows about the item in its hands.
#[derive(Debug, Clone, Copy)]
pub struct ItemContext<'a> {
    /// The stage's id in the file.
    pub stage: &'a str,
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The sample's id.
    pub sample: &'a str,
}

impl ItemContext<'_> {
    /// The generator for this stage's choices about this sample in this epoch.
    pub fn rng(&self) -> Rng {
        stage_rng(self.seed, self.epoch, self.sample, self.stage)
    }
}
