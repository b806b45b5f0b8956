//! How long a run may stand still, and how long its stages have to return once it has failed.

use std::time::Duration;

/// How long nothing may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until it is told.
    pub warn: Duration,
    /// Until the run ends; `None`: never.
    pub end: Option<Duration>,
    /// How long stages have to return when the run has failed; then they are left behind.
    pub leave: Duration,
}

impl Default for Patience {
    /// Five minutes, an hour, ten seconds.
    fn default() -> Self {
        Self { warn: Duration::from_secs(300), end: Some(Duration::from_secs(3600)), leave: Duration::from_secs(10) }
    }
}
