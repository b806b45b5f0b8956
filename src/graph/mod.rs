//! The typed DAG of a pipeline: stages as nodes, ports as typed edges, chains of stages as lanes.
//! It knows neither the file that it came from (see [`crate::spec`]) nor how it runs (see [`crate::engine`]).

mod build;
mod draw;
mod lanes;
mod problem;
mod reading;

pub use build::build;
pub use draw::{Format, Timing, draw};
pub use problem::{Place, Problem};
pub use reading::Reading;

use petgraph::graph::{DiGraph, NodeIndex};
use pipeline_contract::{Facts, Lane as LaneKind, PortType, StageKind};
use serde_json::Value;

/// One stage as the file names it, its options checked and with defaults filled in.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Unique name within the file.
    pub id: String,
    /// Its kind.
    pub kind: StageKind,
    /// Its options in the form that the kind's `build` takes.
    pub options: Value,
    /// The ids of the stages that feed its input ports, in the order of the ports.
    pub needs: Vec<String>,
    /// How many CPU workers may run it at once; 0: none, its lane's own thread runs it. `None`: not said.
    pub workers: Option<usize>,
    /// The bound of the edges into it; `None`: not said, [`Bound::default`].
    pub bound: Option<Bound>,
}

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

/// A checked pipeline: acyclic, ports fit, every stage has its lane.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Stages and edges; a node's index is its position in the file.
    pub dag: DiGraph<Stage, Edge>,
    /// All stages, each after everything that it needs; ties in the order of the file.
    pub order: Vec<NodeIndex>,
    /// The lanes, in topological order of their first stage.
    pub lanes: Vec<Lane>,
    /// For each node, the index of its lane.
    pub lane_of: Vec<usize>,
    /// For each node, what is known of the items at each of its input ports; filled in by the file's reader.
    pub facts: Vec<Vec<Facts>>,
}

impl Graph {
    /// The stage of a node.
    pub fn stage(&self, node: NodeIndex) -> &Stage {
        &self.dag[node]
    }

    /// The node of a stage id.
    pub fn node(&self, id: &str) -> Option<NodeIndex> {
        self.dag.node_indices().find(|&node| self.dag[node].id == id)
    }
}
