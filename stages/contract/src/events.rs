//! How stages report figures: typed events, which become lines of `metrics.jsonl` and progress, and entries of `summary.json`.
//! The run adds the time and decides where they go.

mod event;
mod fields;
mod line;
mod named;
mod run;
pub mod summary;
mod training;

pub use event::{Event, OwnEvent};
pub use fields::Fields;
pub use line::{FORMAT, Line};
pub use named::{ByCause, Named};
pub use run::{
    CheckpointEvent, EndEvent, Leak, LeaksEvent, PlanEvent, ResumeEvent, SampleSkippedEvent, StallEvent, StartEvent, Status,
    WarningEvent,
};
pub use training::{
    BlockRms, CleanupEvent, CleanupMoment, EpochEvent, EvalEvent, ImageEvent, NotFiniteEvent, PredictedEvent, RetryEvent,
    RetrySetting, StepEvent,
};

use serde_json::Value;

/// Where a running stage sends its figures. The run adds the time.
///
/// ```
/// use std::sync::Mutex;
///
/// use pipeline_contract::Events;
/// use pipeline_contract::events::{Event, Fields, OwnEvent};
/// use serde_json::{Value, json};
///
/// /// Keeps every event as a line of text.
/// #[derive(Default)]
/// struct Lines(Mutex<Vec<String>>);
///
/// impl Events for Lines {
///     fn record(&self, event: Event) {
///         self.0.lock().unwrap().push(event.name().to_owned());
///     }
///
///     fn summarize(&self, key: &str, value: Value) {
///         self.0.lock().unwrap().push(format!("{key} = {value}"));
///     }
/// }
///
/// let lines = Lines::default();
/// let fields = Fields::from_iter([("mean".to_owned(), json!(0.5))]);
/// lines.record(OwnEvent::new("sharpness", fields)?.into());
/// lines.summarize("sharpest", json!(0.9));
/// assert_eq!(*lines.0.lock().unwrap(), ["sharpness", "sharpest = 0.9"]);
/// # Ok::<_, pipeline_contract::StageError>(())
/// ```
pub trait Events: Send + Sync {
    /// Records one event. A stage of your own records an [`OwnEvent`].
    fn record(&self, event: Event);

    /// Sets one entry of `summary.json`; a later value replaces an earlier one. The program's own are in [`summary`].
    fn summarize(&self, key: &str, value: Value);

    /// A source says how many samples each of its epochs has, so that progress can say how much is left.
    fn announce(&self, _stage: &str, _samples: u64) {}
}

/// Drops everything; for tests of single stages.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoEvents;

impl Events for NoEvents {
    fn record(&self, _: Event) {}
    fn summarize(&self, _: &str, _: Value) {}
}
