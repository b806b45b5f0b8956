//! How the lanes of a graph start when a run resumes from a snapshot of one of them: where each source starts, and how much of each
//! edge was already read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use petgraph::Direction;
use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;
use pipeline_contract::Lane as LaneKind;

use super::position::{InputPosition, Snapshot, Stale, Start, Used};
use super::upstream::{is_flat, sources_above};
use crate::graph::{Graph, Lane};

/// The lane that is saved: the device's, which has all state that isn't recomputed from the sources.
pub(super) const SAVED: LaneKind = LaneKind::Device;

/// Where everything starts; for a run that doesn't resume, at the beginning.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    starts: HashMap<NodeIndex, Start>,
    edges: HashMap<EdgeIndex, (Stale, InputPosition)>,
    /// The epoch of sources that don't feed the saved lane.
    epoch: u64,
}

impl Beginning {
    /// Where a run starts that resumes from a snapshot. Edges that the snapshot doesn't know start at the beginning.
    pub fn of(graph: &Graph, snapshot: &Snapshot) -> Self {
        let mut beginning = Self::default();
        let inputs = &snapshot.position.inputs;
        beginning.epoch = inputs.iter().map(|input| input.epochs).min().unwrap_or(0);
        let mut wanted: HashMap<NodeIndex, Vec<(Start, Path)>> = HashMap::new();
        let mut joined: Vec<Vec<NodeIndex>> = Vec::new();
        let saved = graph.lanes.iter().filter(|lane| lane.kind == SAVED);
        for edge in saved.flat_map(|lane| &lane.reading.edges) {
            let Some((from, to)) = graph.dag.edge_endpoints(*edge) else { continue };
            let same = |input: &&InputPosition| input.from == graph.stage(from).id && input.to == graph.stage(to).id;
            let Some(input) = inputs.iter().find(same) else { continue };
            let path = path(graph, from);
            let stale = match path {
                Path::Maps(_) | Path::Gathers(_) => Stale::Until(input.epochs, input.until),
                Path::Else => Stale::Items(input.epochs, input.items),
            };
            beginning.edges.insert(*edge, (stale, input.clone()));
            match path {
                Path::Maps(way) | Path::Gathers(way) => {
                    let sample = (input.until > 0).then(|| input.sample.clone());
                    let used = Used { until: input.until, pieces: way.pieces };
                    let start = Start { epoch: input.epochs, used, sample, levels: way.levels, samples: None };
                    wanted.entry(way.source).or_default().push((start, path));
                }
                Path::Else => {
                    let sources = sources_above(graph, from);
                    for &source in &sources {
                        let start = Start { epoch: input.epochs, ..Start::default() };
                        wanted.entry(source).or_default().push((start, path));
                    }
                    joined.push(sources);
                }
            }
        }
        for (source, wanted) in wanted {
            let samples = snapshot.samples.get(&graph.stage(source).id).copied();
            beginning.starts.insert(source, Start { samples, ..earliest(wanted) });
        }
        beginning.together(&joined);
        beginning
    }

    /// Lets sources whose items meet in a stage begin in the same epoch, so that they meet as they did.
    fn together(&mut self, joined: &[Vec<NodeIndex>]) {
        // Each round settles at least one source for good.
        for _ in 0..self.starts.len() {
            for sources in joined {
                let epoch = sources.iter().filter_map(|source| self.starts.get(source)).map(|start| start.epoch).min();
                for source in sources {
                    if let (Some(start), Some(epoch)) = (self.starts.get_mut(source), epoch) {
                        (start.epoch, start.used, start.sample) = (epoch, Used::default(), None);
                    }
                }
            }
        }
    }

    /// Where a source begins.
    pub fn start(&self, source: NodeIndex) -> Start {
        self.starts.get(&source).cloned().unwrap_or(Start { epoch: self.epoch, ..Start::default() })
    }

    /// Of a lane of workers, the epoch in which it resumes and how much of what it makes in that epoch was used before: a sample of which only some
    /// pieces were used comes again. `None` where items are put together before it.
    pub fn used(&self, graph: &Graph, lane: &Lane) -> Option<(u64, u64)> {
        let Path::Maps(way) = path(graph, *lane.stages.last()?) else { return None };
        let start = self.starts.get(&way.source)?;
        Some((start.epoch, start.used.of(way.pieces)))
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

/// How items come from a source to an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    /// Each by itself.
    Maps(Way),
    /// Some of them put together, with nothing held back then: what comes depends on where the source begins.
    Gathers(Way),
    /// Otherwise.
    Else,
}

/// A source, and what its items go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    source: NodeIndex,
    /// How many items each of the source's becomes.
    pieces: u64,
    /// How many flat maps do that.
    levels: usize,
}

fn path(graph: &Graph, mut node: NodeIndex) -> Path {
    let (mut gathers, mut pieces, mut levels) = (false, 1_u64, 0);
    loop {
        let stage = graph.stage(node);
        match stage.kind.lane {
            LaneKind::Source => {
                let way = Way { source: node, pieces, levels };
                return if gathers { Path::Gathers(way) } else { Path::Maps(way) };
            }
            LaneKind::Workers if is_flat(graph, node) => {
                levels += 1;
                pieces = match pieces.checked_mul(stage.kind.pieces(&stage.options)) {
                    Some(pieces) => pieces,
                    None => return Path::Else,
                };
            }
            LaneKind::Workers => {}
            // What is put together can't be told apart by pieces that are cut later.
            LaneKind::Sequential if stage.kind.gathers && levels == 0 => gathers = true,
            LaneKind::Sequential | LaneKind::Device => return Path::Else,
        }
        let mut above = graph.dag.edges_directed(node, Direction::Incoming).map(|edge| edge.source());
        node = match (above.next(), above.next()) {
            (Some(node), None) => node,
            _ => return Path::Else,
        };
    }
}

/// Where a source begins that feeds several edges, each of which was read so far. Where items are put together, an edge can only
/// continue where it was itself, or at the beginning of an epoch.
fn earliest(wanted: Vec<(Start, Path)>) -> Start {
    let gathers = wanted.iter().any(|(_, path)| matches!(path, Path::Gathers(_)));
    let mut starts: Vec<Start> = wanted.into_iter().map(|(start, _)| start).collect();
    starts.sort_by_key(|start| (start.epoch, start.used));
    starts.dedup_by_key(|start| (start.epoch, start.used));
    match &starts[..] {
        [first, _, ..] if gathers => Start { epoch: first.epoch, ..Start::default() },
        [first, ..] => first.clone(),
        [] => Start::default(),
    }
}

/// A snapshot, to look at or to take from.
pub(super) fn locked(snapshot: &Mutex<Snapshot>) -> MutexGuard<'_, Snapshot> {
    snapshot.lock().unwrap_or_else(PoisonError::into_inner)
}
