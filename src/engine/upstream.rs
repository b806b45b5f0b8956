//! The sources that feed a stage.

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use petgraph::visit::{Dfs, EdgeRef, Reversed};
use pipeline_contract::{Before, Lane as LaneKind};

use crate::graph::Graph;

/// The sources above a stage; of a source, itself.
pub fn sources_above(graph: &Graph, node: NodeIndex) -> Vec<NodeIndex> {
    let reversed = Reversed(&graph.dag);
    let mut above = Dfs::new(reversed, node);
    let nodes = std::iter::from_fn(|| above.next(reversed));
    nodes.filter(|&node| graph.stage(node).kind.lane == LaneKind::Source).collect()
}

/// The ids of the sources that feed a stage's first input, each with the number of items that come there of one sample.
pub fn sources_of_first_input(graph: &Graph, node: NodeIndex) -> Vec<(String, u64)> {
    graph.counted_into(node, 0).into_iter().map(|(source, pieces)| (graph.stage(source).id.clone(), pieces)).collect()
}

/// How many flat maps an item has been through that comes to a stage's first input.
pub fn levels_above(graph: &Graph, mut node: NodeIndex) -> usize {
    let mut levels = 0;
    while let Some(above) = first_producer(graph, node) {
        node = above;
        levels += usize::from(is_flat(graph, node));
    }
    levels
}

/// Whether a stage makes several items of one.
pub fn is_flat(graph: &Graph, node: NodeIndex) -> bool {
    graph.stage(node).kind.is_flat_map()
}

/// The stateless stages between the source of a stage's first input and the stage; none where other stages lie between.
pub fn before(graph: &Graph, mut node: NodeIndex) -> Vec<Before> {
    let mut found = Vec::new();
    while let Some(above) = first_producer(graph, node) {
        let stage = graph.stage(above);
        match stage.kind.lane {
            LaneKind::Source => {
                found.reverse();
                return found;
            }
            LaneKind::Workers => {
                found.push(Before { stage: stage.id.clone(), kind: stage.kind.name, options: stage.options.clone() });
                node = above;
            }
            LaneKind::Sequential | LaneKind::Device => break,
        }
    }
    Vec::new()
}

fn first_producer(graph: &Graph, node: NodeIndex) -> Option<NodeIndex> {
    let mut edges = graph.dag.edges_directed(node, Direction::Incoming);
    edges.find(|edge| edge.weight().port == 0).map(|edge| edge.source())
}
