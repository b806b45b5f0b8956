//! What a run needs besides its graph.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use pipeline_contract::{Events, PipelineId, StageError};

use super::patience::Patience;
use super::position::{Keeper, Snapshot};
use super::skipping::SkipLedger;

/// What a run needs besides its graph.
#[derive(Clone)]
pub struct RunOptions {
    /// The pipeline's name and digest, for the files that stages leave.
    pub pipeline: PipelineId,
    /// How many epochs.
    pub epochs: u64,
    /// The seed from which all random choices derive.
    pub seed: u64,
    /// Bytes that all payloads between stages may take together.
    pub host_memory_budget: u64,
    /// The run's folder.
    pub out: PathBuf,
    /// Where stages send their figures.
    pub events: Arc<dyn Events>,
    /// Keeps what the device's lane saves.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// What the run resumes from.
    pub resume: Option<Arc<Mutex<Snapshot>>>,
    /// Whether broken samples may be skipped, and those that are.
    pub skipped: Arc<SkipLedger>,
    /// Whether what is doubtful is an error.
    pub strict: bool,
    /// How long nothing may move.
    pub patience: Patience,
    /// Reports what the process has lost for good, such as its device: stages that wait for it may never return.
    pub lost: fn() -> Option<&'static StageError>,
}
