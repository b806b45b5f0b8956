//! How a sample is divided among threads.

/// Pixels per task.
pub(super) const PART: usize = 4096;
