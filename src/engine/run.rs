//! Starts a graph's lanes, waits for them, and reports how it went.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};

use pipeline_contract::{End, Lane as LaneKind, Settled, StageError, memory};

use super::budget::EdgeUse;
use super::builder::StageBuilder;
use super::call::{StageTime, call};
use super::control::{Control, RunError};
use super::lane::Lanes;
use super::options::RunOptions;
use super::resume::{Beginning, locked};
use super::samples::Samples;
use super::state::RunState;
use super::watch::Watch;
use super::wiring::Wiring;
use crate::graph::Graph;

/// The result of a run that did not fail.
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

/// Runs all epochs of a graph on separate threads, and returns when each of them has ended; after a failure it leaves behind
/// those whose stage doesn't return.
///
/// # Errors
/// The first failure of a stage, with the stage's id and the sample.
pub fn run(graph: &Graph, options: RunOptions, control: &Control) -> Result<Report, RunError> {
    let state = RunState::new(control, options.host_memory_budget);
    let (beginning, settled) = match options.resume.as_deref().map(locked) {
        Some(snapshot) => (Beginning::of(graph, &snapshot), Settled::resumed(snapshot.settled.clone())),
        None => (Beginning::default(), Settled::default()),
    };
    let samples = Samples::new(options.skipped.clone(), options.events.clone());
    let (graph, options, pool) = (Arc::new(graph.clone()), Arc::new(options), pool(graph)?.map(Arc::new));
    let mut wiring = Wiring::new(&graph, &state.budget);
    let builder = StageBuilder { graph: graph.clone(), options: options.clone(), samples, settled, control: control.clone() };
    let lanes = Lanes { builder, state: state.clone(), beginning: Arc::new(beginning), pool, device_idle: Arc::default() };
    let (done, finished) = mpsc::channel();
    let mut threads = HashMap::new();
    for (at, lane) in graph.lanes.iter().enumerate() {
        let (ends, graph, lanes, done) = (wiring.take(lane), graph.clone(), lanes.clone(), done.clone());
        let name = lane.name.chars().take(15).collect();
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let lane = &graph.lanes[at];
            // For as long as the thread lives: stages are built, called and dropped on it.
            let _side = memory::enter(side(lane.kind));
            let first = lane.stages.first().map_or("", |&node| graph.stage(node).id.as_str());
            // What the stages themselves panic with is caught closer by; this catches the engine's own mistakes.
            let result = call(first, None, || Ok(lanes.run(lane, ends)));
            if let Err(error) = result.and_then(|result| result) {
                lanes.state.control.fail(error);
            }
            // The receiver is gone if the run has left this lane behind.
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
    let mut watch = Watch::new(&state, &options);
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
        device_idle: lanes.device_idle.get().copied(),
        edges: state.budget.edges(),
        host_bytes_peak: state.budget.used().1,
    })
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
