//! The checked graph: stages and edges, and the lanes that run them.

use petgraph::graph::{DiGraph, EdgeReference, NodeIndex};
use petgraph::visit::EdgeRef;
use pipeline_contract::{Facts, Lane as LaneKind, Metric, Role, fact};

use super::edge::Edge;
use super::lane::Lane;
use super::stage::Stage;
use super::walk::inputs;

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

    /// The stages of a role, in the order of [`Self::order`].
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = NodeIndex> {
        self.order.iter().copied().filter(move |&node| self.stage(node).kind.role == Some(role))
    }

    /// After how many epochs the items of a source are used: 1 unless all of them are for evaluators that measure less often.
    pub fn every(&self, source: NodeIndex) -> u64 {
        let used = |edge: EdgeReference<'_, Edge>| {
            let facts = self.facts.get(edge.target().index())?.get(edge.weight().port)?;
            facts.integer(fact::EVALUATED)
        };
        self.dag.edges(source).find_map(used).unwrap_or(1)
    }

    /// The stage that feeds an input port of a stage.
    pub fn into_port(&self, node: NodeIndex, port: usize) -> Option<NodeIndex> {
        inputs(&self.dag, node).into_iter().find_map(|(at, producer)| (at == port).then_some(producer))
    }

    /// The sources that feed an input port of a stage.
    pub fn sources_into(&self, node: NodeIndex, port: usize) -> Vec<NodeIndex> {
        self.counted_into(node, port).into_iter().map(|(source, _)| source).collect()
    }

    /// The same, each with the number of items that come there of one of its samples. A source that feeds it in several ways is listed once, by
    /// the first.
    pub fn counted_into(&self, node: NodeIndex, port: usize) -> Vec<(NodeIndex, u64)> {
        let feeding = inputs(&self.dag, node).into_iter().filter(|(at, _)| *at == port);
        let mut waiting: Vec<(NodeIndex, u64)> = feeding.map(|(_, producer)| (producer, 1)).collect();
        let (mut seen, mut found) = (Vec::new(), Vec::new());
        while let Some((node, below)) = waiting.pop() {
            if seen.contains(&node) {
                continue;
            }
            seen.push(node);
            let stage = self.stage(node);
            let pieces = below.saturating_mul(stage.kind.pieces(&stage.options));
            if stage.kind.lane == LaneKind::Source {
                found.push((node, pieces));
            }
            waiting.extend(inputs(&self.dag, node).into_iter().rev().map(|(_, producer)| (producer, pieces)));
        }
        found
    }

    /// What the evaluators measure, each metric once.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for metric in self.of_role(Role::Evaluator).flat_map(|node| &self.stage(node).kind.metrics) {
            if metrics.iter().all(|known| known.name != metric.name) {
                metrics.push(*metric);
            }
        }
        metrics
    }
}
