//! The ends of the edges between lanes, and the clocks of the stages: made once for a graph, handed to the lanes.

use std::collections::HashMap;
use std::sync::Arc;

use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;

use super::budget::Budget;
use super::call::Meter;
use super::edge::{Receiver, Sender, open};
use crate::graph::{Graph, Lane};

/// The ends of the edges, until their lanes take them.
pub struct Wiring<'a> {
    graph: &'a Graph,
    senders: HashMap<EdgeIndex, Sender>,
    receivers: HashMap<EdgeIndex, Receiver>,
    pub meters: Vec<Arc<Meter>>,
}

/// What one lane holds of the edges.
pub struct Ends {
    /// For each stage of the lane, the edges that leave the lane, with the port order of the graph.
    pub senders: HashMap<NodeIndex, Vec<Sender>>,
    pub receivers: Vec<Receiver>,
    pub meters: Vec<Arc<Meter>>,
}

impl<'a> Wiring<'a> {
    pub fn new(graph: &'a Graph, budget: &Arc<Budget>) -> Self {
        let meters = graph.dag.node_indices().map(|_| Arc::default()).collect();
        let mut wiring = Self { graph, senders: HashMap::new(), receivers: HashMap::new(), meters };
        for edge in graph.dag.edge_references() {
            let Some(bound) = edge.weight().bound else { continue };
            let (from, to) = (&graph.stage(edge.source()).id, &graph.stage(edge.target()).id);
            let (sender, receiver) = open(budget, from, to, bound);
            wiring.senders.insert(edge.id(), sender);
            wiring.receivers.insert(edge.id(), receiver);
        }
        wiring
    }

    pub fn take(&mut self, lane: &Lane) -> Ends {
        let mut senders: HashMap<NodeIndex, Vec<Sender>> = HashMap::new();
        for &node in &lane.stages {
            let mut leaving: Vec<EdgeIndex> = self.graph.dag.edges(node).map(|edge| edge.id()).collect();
            leaving.sort_unstable();
            let taken = leaving.into_iter().filter_map(|edge| self.senders.remove(&edge));
            senders.entry(node).or_default().extend(taken);
        }
        let receivers = lane.reading.edges.iter().filter_map(|edge| self.receivers.remove(edge)).collect();
        let meters = lane.stages.iter().map(|node| self.meters[node.index()].clone()).collect();
        Ends { senders, receivers, meters }
    }
}
