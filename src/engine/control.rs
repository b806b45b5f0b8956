//! How a run is stopped: drained (sources end, the rest finishes), ended after an epoch, or cancelled (a stage failed), and why.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pipeline_contract::StageError;

use super::budget::Budget;

/// Why a run failed: which stage, on which sample, of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// The stage's id.
    pub stage: String,
    /// The sample's id, if it worked on one.
    pub sample: Option<String>,
    /// What happened.
    pub cause: StageError,
    /// True when the stage panicked: a bug of the stage.
    pub panicked: bool,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage `{}`", self.stage)?;
        if let Some(sample) = &self.sample {
            write!(f, ", sample {sample}")?;
        }
        write!(f, "{}: {}", if self.panicked { " panicked" } else { "" }, self.cause)
    }
}

impl std::error::Error for RunError {}

impl RunError {
    /// The failure of a sample's piece as that of the whole sample, which is what can be left out and excluded.
    #[must_use]
    pub(super) fn of_whole(mut self, sample: &str) -> Self {
        if let Some(piece) = self.sample.as_mut().filter(|piece| *piece != sample) {
            let piece = std::mem::replace(piece, sample.to_owned());
            self.cause = self.cause.context(format_args!("its piece {piece}"));
        }
        self
    }
}

/// Stops a run from outside, and holds the first failure from inside. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Control(Arc<Switches>);

#[derive(Debug)]
struct Switches {
    /// How many epochs the run has at most.
    epochs: AtomicU64,
    draining: AtomicBool,
    cut_short: AtomicBool,
    cancelled: AtomicBool,
    failure: Mutex<Option<RunError>>,
    budget: OnceLock<Arc<Budget>>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            epochs: AtomicU64::new(u64::MAX),
            draining: AtomicBool::default(),
            cut_short: AtomicBool::default(),
            cancelled: AtomicBool::default(),
            failure: Mutex::default(),
            budget: OnceLock::default(),
        }
    }
}

impl Control {
    /// A run that hasn't been stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the sources; the stages finish the items that are under way.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::SeqCst);
    }

    /// Ends the run when `epochs` of its epochs are done, as if it had no more. To be called on the device's lane, while the last of
    /// them is worked on: that epoch is done to its end, and what has been prefetched of later ones is dropped.
    pub fn end_after(&self, epochs: u64) {
        self.0.epochs.fetch_min(epochs, Ordering::SeqCst);
    }

    /// How many epochs the run has, if it was told to end after fewer than it was started with; otherwise the largest number.
    pub fn epochs(&self) -> u64 {
        self.0.epochs.load(Ordering::SeqCst)
    }

    /// True when the sources should end.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst) || self.is_cancelled()
    }

    /// A source ended before its last epoch did.
    pub(super) fn cut_short(&self) {
        self.0.cut_short.store(true, Ordering::SeqCst);
    }

    pub(super) fn was_cut_short(&self) -> bool {
        self.0.cut_short.load(Ordering::SeqCst)
    }

    /// True when a stage failed and all lanes should stop at once.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Ends the run with this failure, if it is the first.
    pub(super) fn fail(&self, error: RunError) {
        // A stage that stopped because another one failed has no error to add.
        if !error.cause.is_stopped() {
            self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.0.cancelled.store(true, Ordering::SeqCst);
        if let Some(budget) = self.0.budget.get() {
            budget.cancel();
        }
    }

    /// Returns a lane's result, and ends the run if it is a failure. To be called while the lane still holds its ends of the
    /// edges: if they were dropped first, its neighbours would take the failure for an interruption and finish as if it had
    /// been asked for.
    pub(super) fn check<T>(&self, result: Result<T, RunError>) -> Result<T, RunError> {
        result.inspect_err(|error| self.fail(error.clone()))
    }

    pub(super) fn failure(&self) -> Option<RunError> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn watch(&self, budget: Arc<Budget>) {
        // A second run with the same control would be a mistake of the caller; it keeps the first budget.
        let _ = self.0.budget.set(budget);
    }

    /// Bytes of host memory that payloads hold now and at the peak, once the run has begun.
    pub fn host_bytes(&self) -> Option<(u64, u64)> {
        self.0.budget.get().map(|budget| budget.used())
    }

    /// Bytes of host memory that payloads hold now by cause: the queues that hold any, and what stages work on.
    pub fn host_by_cause(&self) -> Vec<(String, u64)> {
        self.0.budget.get().map(|budget| budget.by_cause()).unwrap_or_default()
    }
}
