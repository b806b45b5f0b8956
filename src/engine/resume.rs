//! How the lanes of a graph begin when a run goes on from a snapshot of one of them: where each source starts, and what of each
//! edge was read before.

use std::collections::HashMap;

use petgraph::Direction;
use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};
use pipeline_contract::Lane as LaneKind;

use super::position::{InputPosition, Snapshot, Stale, Start};
use crate::graph::Graph;

/// The lane that is saved: the device's, which holds all that isn't made anew from the sources.
pub(super) const SAVED: LaneKind = LaneKind::Device;

/// Where everything begins. Of a run that doesn't go on from anything: at the beginning.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    starts: HashMap<NodeIndex, Start>,
    edges: HashMap<EdgeIndex, (Stale, InputPosition)>,
    /// The epoch of sources that don't feed the saved lane.
    epoch: u64,
}

impl Beginning {
    /// Where a run begins that goes on from a snapshot. Edges that the snapshot doesn't know begin at the beginning.
    pub fn of(graph: &Graph, snapshot: &Snapshot) -> Self {
        let mut beginning = Self::default();
        let inputs = &snapshot.position.inputs;
        beginning.epoch = inputs.iter().map(|input| input.epochs).min().unwrap_or(0);
        let saved = graph.lanes.iter().filter(|lane| lane.kind == SAVED);
        for edge in saved.flat_map(|lane| &lane.reading.edges) {
            let Some((from, to)) = graph.dag.edge_endpoints(*edge) else { continue };
            let same = |input: &&InputPosition| input.from == graph.stage(from).id && input.to == graph.stage(to).id;
            let Some(input) = inputs.iter().find(same) else { continue };
            let (stale, starts) = match gathered_from(graph, from) {
                Some(source) => {
                    let sample = (input.until > 0).then(|| input.sample.clone());
                    let start = Start { epoch: input.epochs, items: input.until, sample, samples: None };
                    (Stale::Until(input.epochs, input.until), vec![(source, start)])
                }
                None => {
                    let start = Start { epoch: input.epochs, ..Start::default() };
                    let sources = sources_above(graph, from).into_iter().map(|source| (source, start.clone()));
                    (Stale::Items(input.epochs, input.items), sources.collect())
                }
            };
            beginning.edges.insert(*edge, (stale, input.clone()));
            for (source, start) in starts {
                let earliest = beginning.starts.entry(source).or_insert_with(|| start.clone());
                if (start.epoch, start.items) < (earliest.epoch, earliest.items) {
                    *earliest = start;
                }
            }
        }
        for (&source, start) in &mut beginning.starts {
            start.samples = snapshot.samples.get(&graph.stage(source).id).copied();
        }
        beginning
    }

    /// Where a source begins.
    pub fn start(&self, source: NodeIndex) -> Start {
        self.starts.get(&source).cloned().unwrap_or(Start { epoch: self.epoch, ..Start::default() })
    }

    /// How far an edge was read, and what of it comes again.
    pub fn edge(&self, graph: &Graph, edge: EdgeIndex) -> (Stale, InputPosition) {
        let id = |node| graph.stage(node).id.clone();
        self.edges.get(&edge).cloned().unwrap_or_else(|| {
            let (from, to) = graph.dag.edge_endpoints(edge).map(|(from, to)| (id(from), id(to))).unwrap_or_default();
            (Stale::Nothing, InputPosition { from, to, ..InputPosition::default() })
        })
    }
}

/// The source of a chain of stages that hold nothing back when they emit; `None` where the chain isn't one.
fn gathered_from(graph: &Graph, mut node: NodeIndex) -> Option<NodeIndex> {
    loop {
        let kind = &graph.stage(node).kind;
        match kind.lane {
            LaneKind::Source => return Some(node),
            LaneKind::Workers => {}
            LaneKind::Sequential if kind.gathers => {}
            LaneKind::Sequential | LaneKind::Device => return None,
        }
        let mut above = graph.dag.edges_directed(node, Direction::Incoming).map(|edge| edge.source());
        node = above.next()?;
        if above.next().is_some() {
            return None;
        }
    }
}

fn sources_above(graph: &Graph, node: NodeIndex) -> Vec<NodeIndex> {
    let reversed = Reversed(&graph.dag);
    let mut above = Dfs::new(reversed, node);
    let nodes = std::iter::from_fn(|| above.next(reversed));
    nodes.filter(|&node| graph.stage(node).kind.lane == LaneKind::Source).collect()
}
