//! An edge between two stages: what flows along it, and how much of that may queue.

use pipeline_contract::PortType;

/// How much an edge may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Bound {
    /// Items, at least 1.
    pub items: usize,
    /// Bytes of host memory; an edge that is empty takes one item of any size.
    pub bytes: u64,
}

impl Default for Bound {
    fn default() -> Self {
        Self { items: 4, bytes: 256 << 20 }
    }
}

/// An edge between two stages.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Which input port of the consumer it feeds.
    pub port: usize,
    /// The type of what flows.
    pub ty: PortType,
    /// Its bound; `None` inside a lane, where items are handed on by a call and nothing queues.
    pub bound: Option<Bound>,
}
