//! In which order a lane reads the edges into it: settled by the joins of the graph, so that timing has no say.

use std::collections::BTreeSet;

use petgraph::Direction;
use petgraph::graph::{DiGraph, EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;
use pipeline_contract::Join;

use super::edge::Edge;
use super::stage::Stage;
use super::walk::inputs;

/// The order in which a lane reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// The edges into the lane, in the order of the lane's stages and their ports.
    pub edges: Vec<EdgeIndex>,
    /// Positions in `edges`. Each epoch reads group after group to its end; within a group, one item of each edge, alternating.
    pub groups: Vec<Vec<usize>>,
    /// For each edge, the other edges that hang together with it by stages outside the lane.
    pub relatives: Vec<Vec<usize>>,
}

/// The reading order of a lane, or the stage whose join can't be served.
pub(super) fn reading(dag: &DiGraph<Stage, Edge>, lane: &[NodeIndex]) -> Result<Reading, NodeIndex> {
    let outside = |edge: &petgraph::graph::EdgeReference<'_, Edge>| !lane.contains(&edge.source());
    let mut edges: Vec<EdgeIndex> = Vec::new();
    for &node in lane {
        let mut into: Vec<_> = dag.edges_directed(node, Direction::Incoming).filter(outside).collect();
        into.sort_by_key(|edge| edge.weight().port);
        edges.extend(into.iter().map(EdgeRef::id));
    }
    let parts: Vec<Option<usize>> =
        edges.iter().map(|&edge| dag.edge_endpoints(edge).map(|(from, _)| part(dag, lane, from))).collect();
    let related = |a: usize, b: usize| a != b && parts[a] == parts[b];
    let relatives = (0..edges.len()).map(|a| (0..edges.len()).filter(|&b| related(a, b)).collect()).collect();

    let mut group_of: Vec<usize> = (0..edges.len()).collect();
    let mut before: Vec<(usize, usize, NodeIndex)> = Vec::new();
    for &node in lane {
        let ports: Vec<BTreeSet<usize>> =
            inputs(dag, node).into_iter().map(|(port, _)| reaching(dag, lane, &edges, node, port)).collect();
        match dag[node].kind.join {
            Join::Zip => {
                let mut all = ports.iter().flatten();
                if let Some(&first) = all.next() {
                    all.for_each(|&other| merge(&mut group_of, first, other));
                }
            }
            Join::InTurn => {
                for pair in ports.windows(2) {
                    before.extend(pair[0].iter().flat_map(|&a| pair[1].iter().map(move |&b| (a, b, node))));
                }
            }
        }
    }
    for (a, b) in (0..edges.len()).flat_map(|a| (0..a).map(move |b| (b, a))).filter(|&(a, b)| related(a, b)) {
        merge(&mut group_of, a, b);
    }
    let groups = sorted_groups(&group_of, &before)?;
    Ok(Reading { edges, groups, relatives })
}

/// Which part of the graph a stage is in, the lane taken out: the least node that edges lead to, in either direction.
///
/// Lanes that wait for each other in a circle do so along a closed walk of edges. Items flow one way, so on that walk some
/// lane has two inputs, of which it waits for one while the other is full; both are in one part. If every lane takes the
/// inputs of a part off their edges while it waits for one of them, there is no such circle.
fn part(dag: &DiGraph<Stage, Edge>, lane: &[NodeIndex], from: NodeIndex) -> usize {
    let mut seen = BTreeSet::from([from]);
    let mut next = vec![from];
    while let Some(node) = next.pop() {
        next.extend(dag.neighbors_undirected(node).filter(|&other| !lane.contains(&other) && seen.insert(other)));
    }
    seen.first().map_or(0, |node| node.index())
}

/// The outside edges whose items reach a port of a stage inside the lane.
fn reaching(
    dag: &DiGraph<Stage, Edge>,
    lane: &[NodeIndex],
    edges: &[EdgeIndex],
    node: NodeIndex,
    port: usize,
) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for edge in dag.edges_directed(node, Direction::Incoming).filter(|edge| edge.weight().port == port) {
        if lane.contains(&edge.source()) {
            for (port, _) in inputs(dag, edge.source()) {
                found.extend(reaching(dag, lane, edges, edge.source(), port));
            }
        } else {
            found.extend(edges.iter().position(|&other| other == edge.id()));
        }
    }
    found
}

fn merge(group_of: &mut [usize], a: usize, b: usize) {
    let (to, from) = (group_of[a].min(group_of[b]), group_of[a].max(group_of[b]));
    group_of.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
}

/// The groups, each after those that must be read before it; ties by their first edge.
fn sorted_groups(group_of: &[usize], before: &[(usize, usize, NodeIndex)]) -> Result<Vec<Vec<usize>>, NodeIndex> {
    let mut left: BTreeSet<usize> = group_of.iter().copied().collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let blocks = |group: usize| {
            before.iter().find(|&&(a, b, _)| group_of[b] == group && left.contains(&group_of[a])).map(|&(_, _, node)| node)
        };
        let Some(&next) = left.iter().find(|&&group| blocks(group).is_none()) else {
            let stuck = left.iter().find_map(|&group| blocks(group));
            return Err(stuck.unwrap_or_default());
        };
        left.remove(&next);
        groups.push((0..group_of.len()).filter(|&edge| group_of[edge] == next).collect());
    }
    Ok(groups)
}
