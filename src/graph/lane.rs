//! A lane: the stages that run on one thread, or together on the pool of workers.

use petgraph::graph::NodeIndex;
use pipeline_contract::Lane as LaneKind;

use super::reading::Reading;

/// A chain of stages that one thread, or the pool of workers, runs to completion for each item.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The ids of its stages, joined by `+`; of the device's lane, `device`.
    pub name: String,
    /// Where it runs.
    pub kind: LaneKind,
    /// CPU workers at once; 0: its own thread does the work.
    pub workers: usize,
    /// Its stages, in topological order.
    pub stages: Vec<NodeIndex>,
    /// In which order it reads the edges into it.
    pub reading: Reading,
}
