//! How stages report figures: named events with fields, written to `metrics.jsonl` and shown as progress.

use serde_json::{Map, Value};

/// The fields of one event.
pub type Fields = Map<String, Value>;

/// Where a running stage sends its figures. The run adds the time.
pub trait Events: Send + Sync {
    /// Records one event, such as `step`, `epoch`, `eval` (the contract of `metrics.jsonl`).
    fn record(&self, event: &str, fields: Fields);

    /// Sets one entry of `summary.json`; a later value replaces an earlier one.
    fn summarize(&self, key: &str, value: Value);

    /// A source says how many samples each of its epochs has, so that progress can say how much is left.
    fn announce(&self, _stage: &str, _samples: u64) {}
}

/// Drops everything; for tests of single stages.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoEvents;

impl Events for NoEvents {
    fn record(&self, _: &str, _: Fields) {}
    fn summarize(&self, _: &str, _: Value) {}
}
