//! The sources that feed a stage.

use petgraph::graph::NodeIndex;
use petgraph::visit::{Dfs, Reversed};
use pipeline_contract::Lane as LaneKind;

use crate::graph::Graph;

/// The sources above a stage; of a source, itself.
pub fn sources_above(graph: &Graph, node: NodeIndex) -> Vec<NodeIndex> {
    let reversed = Reversed(&graph.dag);
    let mut above = Dfs::new(reversed, node);
    let nodes = std::iter::from_fn(|| above.next(reversed));
    nodes.filter(|&node| graph.stage(node).kind.lane == LaneKind::Source).collect()
}

/// The ids of the sources that feed a stage's first input.
pub fn sources_of_first_input(graph: &Graph, node: NodeIndex) -> Vec<String> {
    graph.sources_into(node, 0).into_iter().map(|source| graph.stage(source).id.clone()).collect()
}
