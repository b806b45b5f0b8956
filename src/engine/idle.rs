//! How much of its time a lane spends waiting for its inputs.

use std::time::{Duration, Instant};

/// The waits of a lane that works on one thread, from its first item on: what comes before is the start of others.
#[derive(Debug, Default)]
pub struct Idle {
    since: Option<Instant>,
    waited: Duration,
}

impl Idle {
    /// The lane has its first item now, if it had none before.
    pub fn begin(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Adds the wait that began at `asked` and is over now.
    pub fn waited(&mut self, asked: Instant) {
        if self.since.is_some() {
            self.waited += asked.elapsed();
        }
    }

    /// The share of the time since the first item that was spent waiting, from 0 to 1; `None` when there was no item.
    pub fn share(&self) -> Option<f64> {
        let total = self.since?.elapsed().as_secs_f64();
        Some((self.waited.as_secs_f64() / total.max(f64::MIN_POSITIVE)).min(1.0))
    }
}
