//! The live state of a run: the lanes write it, the watch reads it.

use std::sync::Arc;

use super::activity::Activity;
use super::budget::Budget;
use super::control::Control;

/// The live state of one run. Clones share it.
#[derive(Clone)]
pub struct RunState {
    /// Whether the run is stopping, and its first failure.
    pub control: Control,
    /// The bytes of all payloads, and what queues on each edge.
    pub budget: Arc<Budget>,
    /// Which stage works on what.
    pub activity: Arc<Activity>,
}

impl RunState {
    /// The state of a run that begins now, under `control`; its payloads may take `host_memory` bytes together.
    pub fn new(control: &Control, host_memory: u64) -> Self {
        let budget = Budget::new(host_memory);
        control.watch(budget.clone());
        Self { control: control.clone(), budget, activity: Arc::default() }
    }
}
