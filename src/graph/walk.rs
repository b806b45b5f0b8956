//! Ways through a graph: a stage's producers, and everything above it.

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};

use super::edge::Edge;
use super::stage::Stage;

/// The producers of a stage, in the order of its ports.
pub fn inputs(dag: &DiGraph<Stage, Edge>, node: NodeIndex) -> Vec<(usize, NodeIndex)> {
    let mut inputs: Vec<_> =
        dag.edges_directed(node, Direction::Incoming).map(|edge| (edge.weight().port, edge.source())).collect();
    inputs.sort_unstable();
    inputs
}

/// Everything that a node needs, directly or not; without the node.
pub fn ancestors(dag: &DiGraph<Stage, Edge>, node: NodeIndex) -> Vec<NodeIndex> {
    let mut found = Vec::new();
    let reversed = Reversed(dag);
    let mut search = Dfs::new(reversed, node);
    while let Some(next) = search.next(reversed) {
        if next != node {
            found.push(next);
        }
    }
    found
}
