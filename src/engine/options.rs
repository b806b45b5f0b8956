//! What a run is given beside its graph.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pipeline_contract::{Events, StageError};

use super::patience::Patience;
use super::position::{Keeper, Snapshot};
use super::skipping::SkipLedger;

/// What a run is given beside its graph.
#[derive(Clone)]
pub struct RunOptions {
    /// How many epochs.
    pub epochs: u64,
    /// The seed of every random choice.
    pub seed: u64,
    /// Bytes that all payloads on their way may take together.
    pub host_memory_budget: u64,
    /// The run's folder.
    pub out: PathBuf,
    /// Where stages send their figures.
    pub events: Arc<dyn Events>,
    /// Who keeps what the device's lane saves.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// What the run goes on from.
    pub resume: Option<Arc<Mutex<Snapshot>>>,
    /// Whether broken samples may be left out, and those that are.
    pub skipped: Arc<SkipLedger>,
    /// How long nothing may move.
    pub patience: Patience,
    /// Says what the process has lost for good, such as its device: stages that wait for it may never return.
    pub lost: fn() -> Option<&'static StageError>,
}
