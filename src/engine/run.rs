//! Starts a graph's lanes, waits for them, and reports how it went.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use pipeline_contract::{End, Events, Lane as LaneKind, SampleCount, Settled, StageError, memory};

use super::budget::{Budget, EdgeUse};
use super::call::{StageTime, call};
use super::control::{Control, RunError};
use super::lane::run_lane;
use super::position::{Keeper, Snapshot};
use super::resume::Beginning;
use super::skipping::SkipLedger;
use super::watch::{Desks, Patience, Watch};
use super::wiring::Wiring;
use crate::graph::Graph;

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
    /// Says what the process has lost for good, such as its device: stages that wait for it may never return.
    pub lost: fn() -> Option<&'static StageError>,
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
    pub settled: Settled,
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
    let (beginning, settled) = match options.resume.as_deref().map(locked) {
        Some(snapshot) => (Beginning::of(graph, &snapshot), Settled::resumed(snapshot.settled.clone())),
        None => (Beginning::default(), Settled::default()),
    };
    let beginning = Arc::new(beginning);
    let shared = Shared {
        options: Arc::new(options),
        control: control.clone(),
        budget,
        samples: SampleCount::default(),
        settled,
        device_idle: Arc::default(),
        desks: Arc::default(),
    };
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

/// A snapshot, to look at or to take from.
pub(super) fn locked(snapshot: &Mutex<Snapshot>) -> MutexGuard<'_, Snapshot> {
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
