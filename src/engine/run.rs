//! Starts a graph's lanes, waits for them, and reports how it went.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use petgraph::Direction;
use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};
use pipeline_contract::{
    BuildContext, End, ErasedMap, ErasedSequential, ErasedSource, Events, Lane as LaneKind, Running, SampleCount, StageError,
    memory,
};

use super::budget::{Budget, EdgeUse};
use super::call::{Meter, StageTime, call};
use super::control::{Control, RunError};
use super::edge::{Receiver, Sender, open};
use super::idle::Idle;
use super::position::{Keeper, Snapshot};
use super::reader::{Input, Reader};
use super::resume::{Beginning, SAVED};
use super::sequential::{Member, Sequence, Target};
use super::sieve::Sieve;
use super::skipping::SkipLedger;
use super::watch::{Desks, Patience, Watch};
use super::{source, workers};
use crate::graph::{Graph, Lane};

/// What a run is given beside its graph.
#[derive(Clone)]
pub struct RunOptions {
    /// How many epochs.
    pub epochs: u64,
    /// The seed of every random choice.
    pub seed: u64,
    /// Bytes that all payloads on their way may take together.
    pub host_memory_budget: u64,
    /// The run's folder.
    pub out: PathBuf,
    /// Where stages send their figures.
    pub events: Arc<dyn Events>,
    /// Who keeps what the device's lane saves.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// What the run goes on from.
    pub resume: Option<Arc<Mutex<Snapshot>>>,
    /// Whether broken samples may be left out, and those that are.
    pub skipped: Arc<SkipLedger>,
    /// How long nothing may move.
    pub patience: Patience,
}

/// How a run went that did not fail.
#[derive(Debug, Clone)]
pub struct Report {
    /// Whether all epochs were done.
    pub end: End,
    /// How long each stage was busy, in topological order.
    pub stages: Vec<StageTime>,
    /// The share, from 0 to 1, of the time from its first item to its end that the device's lane waited for its inputs; `None`
    /// where there is no such lane, or no item came to it.
    pub device_idle: Option<f64>,
    /// What each edge held at most.
    pub edges: Vec<EdgeUse>,
    /// The most bytes of host memory that payloads held together.
    pub host_bytes_peak: u64,
}

/// What all lanes of a run share.
#[derive(Clone)]
pub(super) struct Shared {
    pub options: Arc<RunOptions>,
    pub control: Control,
    pub budget: Arc<Budget>,
    pub samples: SampleCount,
    pub desks: Arc<Desks>,
    /// Set by the device's lane at its end.
    pub device_idle: Arc<OnceLock<f64>>,
}

impl Shared {
    /// Tells of a failure while the lane still holds its ends of the edges. Were they dropped first, its neighbours would
    /// take the failure for an interrupted run and finish as if it had been asked for.
    pub fn tell<T>(&self, result: Result<T, RunError>) -> Result<T, RunError> {
        result.inspect_err(|error| self.control.fail(error.clone()))
    }
}

/// Runs all epochs of a graph, on threads of its own, and returns when every one of them has ended; after a failure also without
/// those whose stage doesn't return.
///
/// # Errors
/// The first failure of a stage, with the stage's id and the sample.
pub fn run(graph: &Graph, options: RunOptions, control: &Control) -> Result<Report, RunError> {
    let budget = Budget::new(options.host_memory_budget);
    control.watch(budget.clone());
    let shared = Shared {
        options: Arc::new(options),
        control: control.clone(),
        budget,
        samples: SampleCount::default(),
        device_idle: Arc::default(),
        desks: Arc::default(),
    };
    let snapshot = shared.options.resume.as_deref().map(locked);
    let beginning = Arc::new(snapshot.map(|snapshot| Beginning::of(graph, &snapshot)).unwrap_or_default());
    let (graph, pool) = (Arc::new(graph.clone()), pool(graph)?.map(Arc::new));
    let mut wiring = Wiring::new(&graph, &shared);
    let (done, finished) = mpsc::channel();
    let mut threads = HashMap::new();
    for (at, lane) in graph.lanes.iter().enumerate() {
        let (ends, shared, beginning) = (wiring.take(lane), shared.clone(), beginning.clone());
        let (graph, pool, done) = (graph.clone(), pool.clone(), done.clone());
        let name = lane.name.chars().take(15).collect();
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let lane = &graph.lanes[at];
            // For as long as the thread lives: stages are built, called and dropped on it.
            let _side = memory::enter(side(lane.kind));
            let first = lane.stages.first().map_or("", |&node| graph.stage(node).id.as_str());
            // What the stages themselves panic with is caught closer by; this catches the engine's own mistakes.
            let result = call(first, None, || Ok(run_lane(&graph, lane, ends, pool.as_deref(), (&beginning, &shared))));
            if let Err(error) = result.and_then(|result| result) {
                shared.control.fail(error);
            }
            // Nobody listens once the run has given this lane up.
            let _ = done.send(at);
        });
        match spawned {
            Ok(thread) => drop(threads.insert(at, thread)),
            Err(error) => {
                let cause = StageError::new(format!("can't start the thread of its lane: {error}"));
                let stage = lane.name.clone();
                control.fail(RunError { stage, sample: None, cause, panicked: false });
            }
        }
    }
    let mut watch = Watch::new(&shared);
    while !threads.is_empty() && watch.look() {
        if let Ok(at) = finished.recv_timeout(watch.rhythm())
            && let Some(thread) = threads.remove(&at)
            && thread.join().is_err()
        {
            tracing::debug!("a lane's thread panicked when it ended");
        }
    }
    if let Some(error) = control.failure() {
        return Err(error);
    }
    Ok(Report {
        end: if control.was_cut_short() { End::Interrupted } else { End::Complete },
        stages: graph.order.iter().map(|&node| wiring.meters[node.index()].time(&graph.stage(node).id)).collect(),
        device_idle: shared.device_idle.get().copied(),
        edges: shared.budget.edges(),
        host_bytes_peak: shared.budget.used().1,
    })
}

fn locked(snapshot: &Mutex<Snapshot>) -> MutexGuard<'_, Snapshot> {
    snapshot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On whose account a lane's thread allocates.
fn side(kind: LaneKind) -> memory::Side {
    match kind {
        LaneKind::Device => memory::Side::Device,
        LaneKind::Source | LaneKind::Workers | LaneKind::Sequential => memory::Side::Host,
    }
}

/// One pool for all lanes of workers, as large as the largest asks for.
fn pool(graph: &Graph) -> Result<Option<rayon::ThreadPool>, RunError> {
    let Some(largest) = graph.lanes.iter().max_by_key(|lane| lane.workers).filter(|lane| lane.workers > 0) else {
        return Ok(None);
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(largest.workers)
        .thread_name(|index| format!("worker-{index}"))
        .build()
        .map(Some)
        .map_err(|error| {
            let cause =
                StageError::new(format!("can't start {} workers: {error}", largest.workers)).help("ask for fewer `workers`");
            RunError { stage: largest.name.clone(), sample: None, cause, panicked: false }
        })
}

/// The ends of the edges, until their lanes take them.
struct Wiring<'a> {
    graph: &'a Graph,
    senders: HashMap<EdgeIndex, Sender>,
    receivers: HashMap<EdgeIndex, Receiver>,
    meters: Vec<Arc<Meter>>,
}

/// What one lane holds of the edges.
struct Ends {
    /// For each stage of the lane, the edges that leave the lane, with the port order of the graph.
    senders: HashMap<NodeIndex, Vec<Sender>>,
    receivers: Vec<Receiver>,
    meters: Vec<Arc<Meter>>,
}

impl<'a> Wiring<'a> {
    fn new(graph: &'a Graph, shared: &Shared) -> Self {
        let meters = graph.dag.node_indices().map(|_| Arc::default()).collect();
        let mut wiring = Self { graph, senders: HashMap::new(), receivers: HashMap::new(), meters };
        for edge in graph.dag.edge_references() {
            let Some(bound) = edge.weight().bound else { continue };
            let (from, to) = (&graph.stage(edge.source()).id, &graph.stage(edge.target()).id);
            let (sender, receiver) = open(&shared.budget, from, to, bound);
            wiring.senders.insert(edge.id(), sender);
            wiring.receivers.insert(edge.id(), receiver);
        }
        wiring
    }

    fn take(&mut self, lane: &Lane) -> Ends {
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

/// Builds a lane's stages on its own thread, which is where they stay, and runs them to the end.
fn run_lane(
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
