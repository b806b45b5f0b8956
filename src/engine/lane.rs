//! A lane on its own thread: its stages are built there, stay there, and run to the end.

use std::sync::{Arc, OnceLock};

use petgraph::graph::EdgeIndex;
use pipeline_contract::{Lane as LaneKind, fact};

use super::builder::StageBuilder;
use super::control::RunError;
use super::edge::Receiver;
use super::member::Member;
use super::position::InputPosition;
use super::reader::{Input, Reader};
use super::resume::{Beginning, SAVED, locked};
use super::saving::{Saving, restore};
use super::sequential::Sequence;
use super::sieve::Sieve;
use super::source::Emission;
use super::state::RunState;
use super::upstream::levels_above;
use super::wiring::Ends;
use super::workers::{self, Chain, Link};
use crate::graph::{Graph, Lane};

/// What the lanes of a run are made from; each lane's thread has a clone.
#[derive(Clone)]
pub struct Lanes {
    pub builder: StageBuilder,
    pub state: RunState,
    pub beginning: Arc<Beginning>,
    /// The CPU workers; `None` where no lane asks for any.
    pub pool: Option<Arc<rayon::ThreadPool>>,
    /// Set by the device's lane at its end.
    pub device_idle: Arc<OnceLock<f64>>,
}

impl Lanes {
    /// Builds a lane's stages on this thread and runs them to the end.
    ///
    /// # Errors
    /// The lane's first failure.
    pub fn run(&self, lane: &Lane, ends: Ends) -> Result<(), RunError> {
        match lane.kind {
            LaneKind::Source => self.source(lane, ends),
            LaneKind::Workers => self.workers(lane, ends),
            LaneKind::Sequential | LaneKind::Device => self.sequential(lane, ends),
        }
    }

    fn source(&self, lane: &Lane, mut ends: Ends) -> Result<(), RunError> {
        let Some(&node) = lane.stages.first() else { return Ok(()) };
        let mut source = self.builder.source(node)?;
        let emission = Emission {
            stage: &self.builder.graph.stage(node).id,
            start: self.beginning.start(node),
            epochs: self.builder.options.epochs,
            every: self.builder.graph.every(node),
            outputs: ends.senders.remove(&node).unwrap_or_default(),
            meter: &ends.meters[0],
            samples: &self.builder.samples,
            state: &self.state,
        };
        emission.run(source.as_mut())
    }

    fn workers(&self, lane: &Lane, mut ends: Ends) -> Result<(), RunError> {
        let mut links = Vec::new();
        for (&node, meter) in lane.stages.iter().zip(&ends.meters) {
            let stage = self.builder.graph.stage(node).id.as_str().into();
            links.push(Link { stage, work: self.builder.stateless(node)?, meter: meter.clone() });
        }
        let outputs = lane.stages.last().and_then(|node| ends.senders.remove(node)).unwrap_or_default();
        let Some(input) = ends.receivers.pop() else { return Ok(()) };
        let used = self.beginning.used(&self.builder.graph, lane);
        let chain = Arc::new(Chain { links, seed: self.builder.options.seed, used, state: self.state.clone() });
        workers::run(&chain, lane.workers, self.pool.as_deref(), &input, &outputs, &mut self.sieve(lane))
    }

    fn sequential(&self, lane: &Lane, mut ends: Ends) -> Result<(), RunError> {
        let (graph, options) = (&*self.builder.graph, &*self.builder.options);
        let mut members = Vec::new();
        for (&node, meter) in lane.stages.iter().zip(&ends.meters) {
            let running = self.builder.sequential(node)?;
            let senders = ends.senders.remove(&node).unwrap_or_default();
            members.push(Member::new(graph, lane, node, running, senders, meter.clone()));
        }
        let (mut reader, inputs) = self.reader(lane, ends.receivers);
        let mut sequence = Sequence::new(members, entries(graph, lane), inputs, options, &self.state);
        sequence.sieve = (lane.kind == LaneKind::Sequential).then(|| self.sieve(lane));
        if lane.kind == SAVED {
            let (samples, settled) = (self.builder.samples.counts.clone(), self.builder.settled.clone());
            sequence.saving = options.keeper.clone().map(|keeper| Saving { keeper, samples, settled });
            if let Some(snapshot) = options.resume.as_deref() {
                let mut snapshot = locked(snapshot);
                reader = reader.at(snapshot.position.turn);
                self.state.control.check(restore(&mut sequence.members, &mut snapshot))?;
            }
        }
        let result = sequence.run(&mut reader);
        if let (LaneKind::Device, Some(share)) = (lane.kind, sequence.idle.share()) {
            // A graph has one device lane, so no other lane has set it.
            let _ = self.device_idle.set(share);
        }
        result
    }

    /// The reader of a lane's inputs, and how far each was read before.
    fn reader(&self, lane: &Lane, receivers: Vec<Receiver>) -> (Reader, Vec<InputPosition>) {
        let read = lane.reading.edges.iter().map(|&edge| self.beginning.edge(&self.builder.graph, edge));
        let (stale, positions): (Vec<_>, Vec<InputPosition>) = read.unzip();
        let inputs = receivers.into_iter().zip(&lane.reading.relatives).zip(stale.into_iter().zip(&positions)).map(
            |((receiver, relatives), (stale, position))| {
                Input::new(receiver, relatives.clone()).read_before(stale, position.ended)
            },
        );
        (Reader::new(inputs.collect(), lane.reading.groups.clone(), self.state.budget.total()), positions)
    }

    fn sieve(&self, lane: &Lane) -> Sieve<'_> {
        let first = lane.stages.first();
        let graph = &self.builder.graph;
        let sources = first.map_or_else(Vec::new, |&node| graph.sources_into(node, 0));
        let sources = sources.into_iter().map(|source| graph.stage(source).id.clone()).collect();
        let levels = first.map_or(0, |&node| levels_above(graph, node));
        let facts = first.and_then(|node| graph.facts.get(node.index())?.first());
        let repeated = facts.is_some_and(|facts| facts.get(fact::REPEATED).is_some());
        Sieve::new(&self.state.control, &self.builder.samples, sources, levels).repeated(repeated)
    }
}

/// For each edge into the lane, the position of the stage that it feeds and the port there.
fn entries(graph: &Graph, lane: &Lane) -> Vec<(usize, usize)> {
    let entry = |&edge: &EdgeIndex| {
        let (_, to) = graph.dag.edge_endpoints(edge)?;
        Some((lane.stages.iter().position(|&node| node == to)?, graph.dag[edge].port))
    };
    lane.reading.edges.iter().filter_map(entry).collect()
}
