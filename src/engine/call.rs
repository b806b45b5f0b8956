//! Calls a stage: measures how long it takes, keeps its panics in, and says which stage and sample an error belongs to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use pipeline_contract::{Result, StageError, lost, panic_words};

use super::control::RunError;

/// How long a stage was busy.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StageTime {
    /// The stage's id.
    pub stage: String,
    /// Items that it took, or of a source, gave.
    pub items: u64,
    /// Seconds spent in its own code, summed over workers; without the stages that it calls and without waiting for edges.
    pub busy_seconds: f64,
}

/// The clock of one stage.
#[derive(Debug, Default)]
pub struct Meter {
    items: AtomicU64,
    nanos: AtomicU64,
}

impl Meter {
    pub fn add(&self, items: u64, since: Instant) {
        self.items.fetch_add(items, Ordering::Relaxed);
        self.nanos.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// Takes out time that passed inside a call but belongs to others: downstream stages, full edges.
    pub fn subtract(&self, since: Instant) {
        self.nanos.fetch_sub(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn time(&self, stage: &str) -> StageTime {
        // Read in mid-call the subtraction may be ahead of the addition, so the count may have wrapped below zero.
        let nanos = (self.nanos.load(Ordering::Relaxed) as i64).max(0);
        StageTime { stage: stage.into(), items: self.items.load(Ordering::Relaxed), busy_seconds: nanos as f64 / 1e9 }
    }
}

/// Calls into a stage's code, with the sample that it works on if it works on one.
///
/// # Errors
/// The stage's error, or its panic as one.
pub fn call<T>(stage: &str, sample: Option<&str>, body: impl FnOnce() -> Result<T>) -> std::result::Result<T, RunError> {
    let error = |cause, panicked| RunError { stage: stage.into(), sample: sample.map(Into::into), cause, panicked };
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(|cause| error(cause, false)),
        Err(payload) => {
            // What panics once a device is gone for good is no bug of the stage.
            if let Some(loss) = lost::told() {
                return Err(error(loss.clone(), false));
            }
            let text = panic_words(&*payload).unwrap_or("no message");
            Err(error(
                StageError::new(text).help("this is a bug of the stage; please report it with the file and the sample"),
                true,
            ))
        }
    }
}
