//! One stage of a lane that runs on a single thread, and where its items go.

use std::sync::Arc;

use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use pipeline_contract::ErasedSequential;

use super::call::Meter;
use super::edge::Sender;
use crate::graph::{Graph, Lane};

/// Where a stage's items go.
pub enum Target {
    /// To a stage of the same lane: an ordinary call.
    Inside {
        /// Its position in the lane.
        position: usize,
        /// The input port there.
        port: usize,
    },
    /// To other lanes.
    Edges(Vec<Sender>),
}

/// One stage of the lane.
pub struct Member {
    pub stage: Arc<str>,
    /// Taken out while it is being called.
    pub running: Option<Box<dyn ErasedSequential>>,
    pub targets: Vec<Target>,
    pub meter: Arc<Meter>,
    /// How many input ports have not ended their current epoch.
    pub open_ports: usize,
    pub ports: usize,
}

impl Member {
    /// A stage of the lane before its first item; `senders` lead to other lanes.
    pub fn new(
        graph: &Graph,
        lane: &Lane,
        node: NodeIndex,
        running: Box<dyn ErasedSequential>,
        senders: Vec<Sender>,
        meter: Arc<Meter>,
    ) -> Self {
        let stage = graph.stage(node);
        let ports = stage.kind.inputs.len();
        let targets = targets(graph, lane, node, senders);
        Self { stage: stage.id.as_str().into(), running: Some(running), targets, meter, open_ports: ports, ports }
    }
}

/// The consumers of a stage: first those of its own lane, in the order of the lane, then the other lanes.
fn targets(graph: &Graph, lane: &Lane, node: NodeIndex, senders: Vec<Sender>) -> Vec<Target> {
    let mut inside: Vec<(usize, usize)> = graph
        .dag
        .edges(node)
        .filter_map(|edge| Some((lane.stages.iter().position(|&other| other == edge.target())?, edge.weight().port)))
        .collect();
    inside.sort_unstable();
    let inside = inside.into_iter().map(|(position, port)| Target::Inside { position, port });
    inside.chain((!senders.is_empty()).then_some(Target::Edges(senders))).collect()
}
