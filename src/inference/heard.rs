//! What the stages of a prediction or an evaluation report: progress, and the figures.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pipeline_contract::events::{EvalEvent, ImageEvent};
use pipeline_contract::{Event, Events, Result, lost};
use serde_json::{Map, Value};

use crate::engine::{Keeper, Moment, Patience, RunOptions, SkipLedger, Snapshot};
use crate::run::{Counter, Warned};
use crate::spec::Pipeline;

/// Counts photographs and keeps figures.
pub(super) struct Heard {
    pub counter: Counter,
    figures: Mutex<Figures>,
    warned: Mutex<Warned>,
}

/// The figures of an evaluation.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    /// Of all images.
    pub eval: Option<EvalEvent>,
    /// Of each image, the worst first.
    pub images: Vec<ImageEvent>,
    /// Entries of a summary, such as the device's name.
    pub summary: Map<String, Value>,
}

impl Heard {
    /// Counts to `total`.
    pub fn new(total: u64, quiet: bool) -> Self {
        Self { counter: Counter::new(total, quiet), figures: Mutex::default(), warned: Mutex::default() }
    }

    /// The end: how many there were of each kind of warning.
    pub fn finish(&self) {
        self.counter.finish();
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).tell();
    }

    /// What was heard so far.
    pub fn take(&self) -> Figures {
        std::mem::take(&mut *self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Events for Heard {
    fn record(&self, event: Event) {
        if let Event::Warning(warning) = &event {
            self.warned.lock().unwrap_or_else(PoisonError::into_inner).see(warning);
        }
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Predicted(predicted) => self.counter.count(&predicted.sample),
            Event::Eval(eval) => figures.eval = Some(eval),
            Event::Image(image) => figures.images.push(image),
            _ => {}
        }
    }

    fn summarize(&self, key: &str, value: Value) {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).summary.insert(key.to_owned(), value);
    }
}

/// How the engine runs a pipeline of these: once, into `out`, without checkpoints.
pub(super) fn options(pipeline: &Pipeline, out: &Path, heard: &Arc<Heard>, skipped: &Arc<SkipLedger>) -> RunOptions {
    RunOptions {
        pipeline: pipeline.id(),
        epochs: 1,
        seed: pipeline.settings.seed,
        host_memory_budget: pipeline.settings.host_memory_budget,
        out: out.into(),
        events: heard.clone(),
        keeper: Some(Arc::new(Unsaved)),
        resume: None,
        strict: pipeline.settings.strict,
        patience: Patience::default(),
        lost: lost::told,
        skipped: skipped.clone(),
    }
}

/// Keeps no checkpoints. With a keeper the device's lane ends after the item that it works on when it is asked to stop, where without one it would
/// first do all that is queued.
struct Unsaved;

impl Keeper for Unsaved {
    fn due(&self, _: Moment) -> bool {
        false
    }

    fn keep(&self, _: Snapshot, _: Moment, _: f64) -> Result<()> {
        Ok(())
    }
}
