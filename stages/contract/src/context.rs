//! What a stage knows of the run that it is in.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::events::EvalEvent;
use crate::{Events, Facts, NoEvents, Rng, Settled, Warnings, stage_rng};

/// What a stage is given when it is built, on the thread that it will run on.
#[derive(Clone)]
pub struct BuildContext {
    /// The stage's id in the file.
    pub stage: String,
    /// The ids of the stages that have this stage's role, itself among them, in the order of the file; empty where its kind has none.
    pub peers: Vec<String>,
    /// The pipeline that the stage belongs to.
    pub pipeline: PipelineId,
    /// The run's seed.
    pub seed: u64,
    /// How many epochs the run has.
    pub epochs: u64,
    /// The stateless stages between the source of the first input and this stage, in their order; empty where others lie between.
    pub before: Vec<Before>,
    /// What is known of the items at each input port (height, width, batch, samples, ...).
    pub facts: Vec<Facts>,
    /// How many samples an epoch has; known once the first item has come.
    pub samples: SampleCount,
    /// What the stage settles once for the whole run.
    pub settled: Settled,
    /// Whether the file allows skipping broken samples (`on_error`). A source then lists the intact ones and reports the rest by
    /// [`Source::broken`](crate::Source::broken); otherwise it fails with all problems at once.
    pub skips_broken: bool,
    /// Whether the file is `strict`: what is doubtful is an error. [`Self::warnings`] asks.
    pub strict: bool,
    /// The run's folder, where stages may leave files.
    pub out: PathBuf,
    /// Where figures go.
    pub events: Arc<dyn Events>,
}

impl BuildContext {
    /// A context without a run, for examples and for tests of single stages: seed 0, one epoch, no facts, no events, and the
    /// system's folder for temporary files.
    pub fn standalone(stage: impl Into<String>) -> Self {
        Self {
            stage: stage.into(),
            peers: Vec::new(),
            pipeline: PipelineId::default(),
            seed: 0,
            epochs: 1,
            before: Vec::new(),
            facts: Vec::new(),
            samples: SampleCount::default(),
            settled: Settled::default(),
            skips_broken: false,
            strict: false,
            out: std::env::temp_dir(),
            events: Arc::new(NoEvents),
        }
    }

    /// Where the stage tells of what may be wrong with its data.
    pub fn warnings(&self) -> Warnings {
        Warnings::new(self.stage.clone(), self.events.clone(), self.strict)
    }

    /// The generator for choices that belong to no sample, such as initial weights (`purpose: "weights"`).
    pub fn rng(&self, epoch: u64, purpose: &str) -> Rng {
        stage_rng(self.seed, epoch, purpose, &self.stage)
    }
}

/// A stage before another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// Its id in the file.
    pub stage: String,
    /// Its kind's name.
    pub kind: &'static str,
    /// Its options, with the defaults filled in.
    pub options: Value,
}

/// Which pipeline a run is of, for the files that it leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineId {
    /// Its name.
    pub name: String,
    /// The SHA-256 of the run's `resolved.yml`, in hexadecimal; empty where there is none.
    pub sha256: String,
}

/// The checkpoint after the best evaluation of a run that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct BestCheckpoint {
    /// Its file.
    pub path: PathBuf,
    /// What the evaluators measured in that epoch.
    pub evaluations: Vec<EvalEvent>,
}

/// What a stage knows about the current item.
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

/// Whether something that is done once in `every` epochs is due at the end of this one, counted from 0. It always is at the end of the last.
pub fn is_due(epoch: u64, every: u64, epochs: u64) -> bool {
    (epoch + 1).is_multiple_of(every.max(1)) || epoch + 1 == epochs
}

/// True when a file of that path, taken from a folder, is inside this folder: no root, no `..`, and a name at its end. It is checked for
/// everything that a stage writes, because a pipeline file may be a stranger's.
pub fn stays_inside(path: &Path) -> bool {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    path.file_name().is_some() && path.components().all(inside)
}

/// How many samples an epoch has, as the sources above a stage announce it. Sources announce before they emit, so every
/// stage below can ask as soon as it has its first item.
#[derive(Debug, Clone, Default)]
pub struct SampleCount {
    /// What each source's samples count, by its id.
    sources: Vec<(String, u64)>,
    announced: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl SampleCount {
    /// The same announcements as these sources make them. Each of a source's samples counts as often as the number beside it: once, or for as
    /// many pieces as it was cut into.
    #[must_use]
    pub fn of(&self, sources: Vec<(String, u64)>) -> Self {
        Self { sources, announced: self.announced.clone() }
    }

    /// A source says how many samples each of its epochs has.
    pub fn announce(&self, source: &str, samples: u64) {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).insert(source.into(), samples);
    }

    /// What each source has said so far.
    pub fn all(&self) -> BTreeMap<String, u64> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Samples of an epoch; `None` while, or if, a source hasn't said, and where no source is known.
    pub fn per_epoch(&self) -> Option<u64> {
        if self.sources.is_empty() {
            return None;
        }
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        self.sources.iter().map(|(source, pieces)| announced.get(source)?.checked_mul(*pieces)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_its_folder_is_told() {
        for inside in ["model.safetensors", "a/b/model.safetensors", "./model.safetensors", "...", "a..b"] {
            assert!(stays_inside(Path::new(inside)), "{inside}");
        }
        for outside in ["", ".", "..", "../a", "a/../../b", "a/..", "/a", "/"] {
            assert!(!stays_inside(Path::new(outside)), "{outside}");
        }
    }
}
