//! A lane on its own thread: its stages are built there, which is where they stay, and run to the end.

use std::sync::Arc;

use petgraph::Direction;
use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};
use pipeline_contract::{BuildContext, ErasedMap, ErasedSequential, ErasedSource, Lane as LaneKind, Running, StageError};

use super::call::call;
use super::control::RunError;
use super::edge::Sender;
use super::idle::Idle;
use super::reader::{Input, Reader};
use super::resume::{Beginning, SAVED};
use super::run::{Shared, locked};
use super::sequential::{Member, Sequence, Target};
use super::sieve::Sieve;
use super::wiring::Ends;
use super::{source, workers};
use crate::graph::{Graph, Lane};

/// Builds a lane's stages on its own thread, which is where they stay, and runs them to the end.
pub fn run_lane(
    graph: &Graph,
    lane: &Lane,
    mut ends: Ends,
    pool: Option<&rayon::ThreadPool>,
    (beginning, shared): (&Beginning, &Shared),
) -> Result<(), RunError> {
    match lane.kind {
        LaneKind::Source => {
            let Some(&node) = lane.stages.first() else { return Ok(()) };
            let mut built = build_source(graph, node, shared)?;
            let outputs = ends.senders.remove(&node).unwrap_or_default();
            let start = beginning.start(node);
            source::run(&graph.stage(node).id, built.as_mut(), &start, &outputs, &ends.meters[0], shared)
        }
        LaneKind::Workers => {
            let chain: Result<Vec<workers::Link>, RunError> = lane
                .stages
                .iter()
                .zip(&ends.meters)
                .map(|(&node, meter)| {
                    let stage = graph.stage(node).id.as_str().into();
                    Ok(workers::Link { stage, map: build_map(graph, node, shared)?, meter: meter.clone() })
                })
                .collect();
            let outputs = lane.stages.last().and_then(|node| ends.senders.remove(node)).unwrap_or_default();
            let Some(input) = ends.receivers.pop() else { return Ok(()) };
            let mut sieve = Sieve::new(shared, lane.stages.first().map_or_else(Vec::new, |&node| sources_above(graph, node)));
            workers::run(&chain?.into(), lane.workers, pool, &input, &outputs, &mut sieve, shared)
        }
        LaneKind::Sequential | LaneKind::Device => {
            let mut members = Vec::new();
            for (&node, meter) in lane.stages.iter().zip(&ends.meters) {
                members.push(Member {
                    stage: graph.stage(node).id.as_str().into(),
                    running: Some(build_sequential(graph, node, shared)?),
                    targets: targets(graph, lane, node, ends.senders.remove(&node).unwrap_or_default()),
                    meter: meter.clone(),
                    ports: graph.stage(node).kind.inputs.len(),
                    open_ports: graph.stage(node).kind.inputs.len(),
                });
            }
            let read = lane.reading.edges.iter().map(|&edge| beginning.edge(graph, edge));
            let (stale, positions): (Vec<_>, Vec<_>) = read.unzip();
            let relatives = lane.reading.relatives.iter().cloned();
            let ended = positions.iter().map(|position| position.ended);
            let inputs = ends.receivers.into_iter().zip(relatives).zip(stale.into_iter().zip(ended));
            let inputs =
                inputs.map(|((receiver, relatives), (stale, ended))| Input::new(receiver, relatives).read_before(stale, ended));
            let mut reader = Reader::new(inputs.collect(), lane.reading.groups.clone(), shared.budget.total());
            let saved = lane.kind == SAVED;
            let keeper = shared.options.keeper.clone().filter(|_| saved);
            let first = lane.stages.first().filter(|_| lane.kind == LaneKind::Sequential);
            let sieve = first.map(|&node| Sieve::new(shared, sources_above(graph, node)));
            let mut sequence =
                Sequence { members, shared, inputs: positions, keeper, until: 0, sieve, failure: None, idle: Idle::default() };
            if let Some(snapshot) = shared.options.resume.as_deref().filter(|_| saved) {
                let mut snapshot = locked(snapshot);
                reader = reader.at(snapshot.position.turn);
                shared.tell(sequence.restore(&mut snapshot))?;
            }
            let result = sequence.run(&mut reader, &entries(graph, lane));
            if let (LaneKind::Device, Some(share)) = (lane.kind, sequence.idle.share()) {
                // A graph has one lane of the device, so nobody else has set it.
                let _ = shared.device_idle.set(share);
            }
            result
        }
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

/// For each edge into the lane, the position of the stage that it feeds and the port there.
fn entries(graph: &Graph, lane: &Lane) -> Vec<(usize, usize)> {
    let entry = |&edge: &EdgeIndex| {
        let (_, to) = graph.dag.edge_endpoints(edge)?;
        Some((lane.stages.iter().position(|&node| node == to)?, graph.dag[edge].port))
    };
    lane.reading.edges.iter().filter_map(entry).collect()
}

fn build(graph: &Graph, node: NodeIndex, shared: &Shared) -> Result<Running, RunError> {
    let (stage, options) = (graph.stage(node), &shared.options);
    let cx = BuildContext {
        stage: stage.id.clone(),
        seed: options.seed,
        epochs: options.epochs,
        facts: graph.facts[node.index()].clone(),
        settled: shared.settled.of(&stage.id),
        samples: shared.samples.of(sources_above(graph, node)),
        skips_broken: options.skipped.skips(),
        out: options.out.clone(),
        events: options.events.clone(),
    };
    shared.tell(call(&stage.id, None, || stage.kind.build(stage.options.clone(), &cx)))
}

/// The sources that feed a stage's first input.
fn sources_above(graph: &Graph, node: NodeIndex) -> Vec<String> {
    let Some(first) = graph.dag.edges_directed(node, Direction::Incoming).find(|edge| edge.weight().port == 0) else {
        return Vec::new();
    };
    let reversed = Reversed(&graph.dag);
    let mut above = Dfs::new(reversed, first.source());
    let nodes = std::iter::from_fn(|| above.next(reversed));
    nodes.filter(|&node| graph.stage(node).kind.lane == LaneKind::Source).map(|node| graph.stage(node).id.clone()).collect()
}

fn build_source(graph: &Graph, node: NodeIndex, shared: &Shared) -> Result<Box<dyn ErasedSource>, RunError> {
    match build(graph, node, shared)? {
        Running::Source(source) => Ok(source),
        other => Err(wrong_kind(graph, node, &other)),
    }
}

fn build_map(graph: &Graph, node: NodeIndex, shared: &Shared) -> Result<Arc<dyn ErasedMap>, RunError> {
    match build(graph, node, shared)? {
        Running::Map(map) => Ok(map),
        other => Err(wrong_kind(graph, node, &other)),
    }
}

fn build_sequential(graph: &Graph, node: NodeIndex, shared: &Shared) -> Result<Box<dyn ErasedSequential>, RunError> {
    match build(graph, node, shared)? {
        Running::Sequential(stage) => Ok(stage),
        other => Err(wrong_kind(graph, node, &other)),
    }
}

/// A kind whose fields were changed by hand so that lane and stage disagree.
fn wrong_kind(graph: &Graph, node: NodeIndex, built: &Running) -> RunError {
    let stage = graph.stage(node);
    let cause =
        StageError::new(format!("kind `{}` declares the lane {:?} but built a {built:?}", stage.kind.name, stage.kind.lane));
    RunError { stage: stage.id.clone(), sample: None, cause, panicked: false }
}
