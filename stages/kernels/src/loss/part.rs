//! How a sample is cut for threads.

/// Pixels of a task.
pub(super) const PART: usize = 4096;
