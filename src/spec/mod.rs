//! Reads a pipeline file: YAML with positions, `${...}` references, overrides, options checked against their declarations.
//! It runs nothing and builds no stage.
//!
//! The steps, one file each: `file` (bytes off the disk), `yaml` and `syntax` (a tree with places), `spelling`, `overrides` (`--set`),
//! `references` (`${...}`), `settings` (what the engine reads; `on_error` and
//! `best` and `early_stopping` are keys of it), `stages` with `options` (each stage by itself), `needs` and
//! `wiring` (the graph), `facts` (what is known of items), `unread` (keys without a reader), `resolved`. `characters` knows those
//! that look like others, `paths` what a path rarely means to say.

mod amounts;
mod best;
mod characters;
mod early_stopping;
mod facts;
mod file;
mod limits;
mod load;
mod misfit;
mod needs;
mod node;
mod on_error;
mod options;
mod overrides;
mod paths;
mod references;
mod resolved;
pub(crate) mod settings;
mod spelling;
pub(crate) mod stages;
mod suggest;
mod syntax;
mod template;
mod unread;
mod wiring;
mod yaml;

pub use load::{load, load_bytes, load_text};
pub use resolved::to_yaml;

use pipeline_contract::Direction;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Source};
use crate::engine::{OnError, Patience};
use crate::graph::Graph;

/// True for a key at the top of a file that is the author's own: a place for anchors, read by nothing.
pub(crate) fn is_own_key(key: &str) -> bool {
    key.starts_with(OWN_KEYS)
}

/// How the author's own keys at the top of a file begin.
pub(crate) const OWN_KEYS: &str = "x-";

/// The keys of a pipeline file.
pub(crate) const TOP_KEYS: [&str; 7] = ["name", "seed", "on_error", "strict", "dataset", "trainer", "stages"];

/// What the `trainer:` block and the file's top level tell the engine itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many epochs.
    pub epochs: u64,
    /// The seed from which all random choices derive.
    pub seed: u64,
    /// Bytes of host memory that decoded images, queues and buffers may take together.
    pub host_memory_budget: u64,
    /// Bytes of device memory that the run may take; `None`: no limit.
    pub memory_budget: Option<u64>,
    /// What may be chosen for the memory budget: `micro_batch`, `gradient_checkpointing`, `mixed_precision`.
    pub fit: Vec<String>,
    /// When checkpoints are taken.
    pub checkpoints: Checkpoints,
    /// When a run that no longer gets better ends; `None`: after all epochs.
    pub early_stopping: Option<EarlyStopping>,
    /// How long nothing may move.
    pub patience: Patience,
    /// What to do with samples that a stage can't process.
    pub on_error: OnError,
    /// What to do where samples are both trained and measured on.
    pub leaks: OnLeaks,
    /// Whether a warning, of the file or of its data, is an error.
    pub strict: bool,
}

/// What to do where samples are both trained and measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLeaks {
    /// The run doesn't start.
    Refuse,
    /// It is said, and the run starts.
    Warn,
}

/// When checkpoints are taken and how many stay.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoints {
    /// Minutes between two.
    pub every_minutes: f64,
    /// Optimizer steps between two; `None`: only the minutes count.
    pub every_steps: Option<u64>,
    /// How many stay, the newest; 0: none are taken.
    pub keep: u64,
    /// The metric by which a checkpoint of the best evaluation is kept; `None`: none is.
    pub best: Option<Best>,
}

/// By which metric an evaluation is the best so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Best {
    /// The metric's name in `eval` events.
    pub metric: String,
    /// Which way is better.
    pub direction: Direction,
    /// The id of the evaluator whose figure it is; `None` only in checkpoints of programs that knew one evaluator.
    #[serde(default)]
    pub of: Option<String>,
}

impl Best {
    /// Whether figures of the other one are figures of this one.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let evaluators = self.of.as_ref().zip(other.of.as_ref());
        self.metric == other.metric && self.direction == other.direction && evaluators.is_none_or(|(own, other)| own == other)
    }
}

/// When a run that no longer gets better ends: by the figures that [`Checkpoints::best`] names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EarlyStopping {
    /// Evaluations without a better one after which the run ends.
    pub patience: u64,
    /// By how much a figure must be better than the last one that was, to count as better.
    pub min_delta: f64,
}

/// A file that can be run.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// The run's name; the file's own name where it says none.
    pub name: String,
    /// What the engine itself reads.
    pub settings: Settings,
    /// The stages, checked, with what is known of their inputs.
    pub graph: Graph,
    /// The whole file after overrides, references and defaults: all that decides the run, for `resolved.yml`.
    pub resolved: serde_json::Value,
}

/// What came of reading a file.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The file's text, for [`Diagnostic::render`].
    pub source: Source,
    /// Everything that is wrong with it, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The pipeline; `None` exactly when a diagnostic is an error.
    pub pipeline: Option<Pipeline>,
}
