//! How stages report figures: named events with fields, written to `metrics.jsonl` and shown as progress.

use serde_json::{Map, Value};

/// The fields of one event.
pub type Fields = Map<String, Value>;

/// Where a running stage sends its figures. The run adds the time.
///
/// ```
/// use std::sync::Mutex;
///
/// use pipeline_contract::{Events, Fields};
/// use serde_json::{Value, json};
///
/// /// Keeps every event as a line of text.
/// #[derive(Default)]
/// struct Lines(Mutex<Vec<String>>);
///
/// impl Events for Lines {
///     fn record(&self, event: &str, fields: Fields) {
///         self.0.lock().unwrap().push(format!("{event} {}", Value::Object(fields)));
///     }
///
///     fn summarize(&self, key: &str, value: Value) {
///         self.0.lock().unwrap().push(format!("{key} = {value}"));
///     }
/// }
///
/// let lines = Lines::default();
/// lines.record("step", Fields::from_iter([("loss".to_owned(), json!(0.5))]));
/// lines.summarize("best_dice", json!(0.9));
/// assert_eq!(*lines.0.lock().unwrap(), [r#"step {"loss":0.5}"#, "best_dice = 0.9"]);
/// ```
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
