//! The host's memory before a run: what edges may queue, what lanes work on, what is kept of an open window.
//! Payloads state the sizes of items, from the facts of the file.

use petgraph::Direction;
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use pipeline_contract::events::ByCause;
use pipeline_contract::{Lane as LaneKind, Role, fact};
use serde_json::{Value, json};

use crate::graph::{Graph, Lane};
use crate::spec::Pipeline;

/// The host's memory by cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What is held, with its maximum bytes.
    pub shares: Vec<(String, u64)>,
    /// What queues and lanes may hold together: the file's `host_memory_budget`.
    pub budget: u64,
    /// What may be held beyond the budget: one item in each empty edge, and what lanes already work on.
    pub beyond: u64,
    /// The window's samples, kept on the host until its step is made, beside the budget.
    pub window: u64,
    /// Workers that decode photographs of unknown size, before a stage makes them all one size.
    pub decoding: usize,
}

impl Host {
    /// Of a file whose windows have `window` samples; 0 where it trains nothing.
    pub(crate) fn of(pipeline: &Pipeline, window: usize) -> Self {
        let graph = &pipeline.graph;
        let (mut shares, mut beyond) = (Vec::new(), 0_u64);
        for edge in graph.dag.edge_references() {
            let Some(bound) = edge.weight().bound else { continue };
            let item = item(graph, edge.target(), edge.weight().port).unwrap_or(bound.bytes);
            let queued = bound.bytes.min(item.saturating_mul(bound.items as u64)).max(item);
            if queued > 0 {
                let (from, to) = (&graph.stage(edge.source()).id, &graph.stage(edge.target()).id);
                shares.push((format!("queue {from} -> {to} ({} items)", bound.items), queued));
                beyond = item.saturating_add(beyond);
            }
        }
        let lanes = graph.lanes.iter().map(|lane| (holder(lane), held(graph, lane)));
        for (name, bytes) in lanes.filter(|(_, bytes)| *bytes > 0) {
            shares.push((name, bytes));
            beyond = bytes.saturating_add(beyond);
        }
        for node in graph.dag.node_indices() {
            let stage = graph.stage(node);
            let each = stage.kind.held(&stage.options, graph.facts.get(node.index()).map_or(&[], Vec::as_slice));
            let lane = graph.lane_of.get(node.index()).and_then(|&lane| graph.lanes.get(lane));
            let bytes = each.saturating_mul(lane.map_or(1, |lane| lane.workers.max(1)) as u64);
            if bytes > 0 {
                shares.push((format!("scratch of {}", stage.id), bytes));
                beyond = bytes.saturating_add(beyond);
            }
        }
        let kept = graph.of_role(Role::Trainer).next().and_then(|node| {
            let batch = graph.facts.get(node.index())?.first()?.integer(fact::BATCH)?;
            Some(item(graph, node, 0)? / batch.max(1))
        });
        let window = kept.unwrap_or(0).saturating_mul(window as u64);
        let decoding = graph.lanes.iter().map(|lane| unknown(graph, lane)).sum();
        Self { shares, budget: pipeline.settings.host_memory_budget, beyond, window, decoding }
    }

    /// Maximum bytes: what queues and lanes may hold, but no more than the run admits, and the window.
    pub fn peak(&self) -> u64 {
        let all = self.shares.iter().fold(0_u64, |all, (_, bytes)| all.saturating_add(*bytes));
        all.min(self.budget.saturating_add(self.beyond)).saturating_add(self.window)
    }

    /// Bytes by cause.
    pub(super) fn by_cause(&self) -> ByCause {
        let mut causes: ByCause = self.shares.iter().cloned().collect();
        causes.push("window", self.window);
        causes
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"peak": self.peak(), "causes": self.by_cause(), "budget": self.budget})
    }
}

/// Bytes of an item at an input of a stage; `None` where the file doesn't tell.
fn item(graph: &Graph, node: NodeIndex, port: usize) -> Option<u64> {
    let ty = graph.stage(node).kind.inputs.get(port)?;
    let facts = graph.facts.get(node.index()).and_then(|ports| ports.get(port)).cloned().unwrap_or_default();
    ty.planned(&facts)
}

fn holder(lane: &Lane) -> String {
    match lane.workers {
        0 => format!("held by {}", lane.name),
        1 => format!("held by {} (1 worker)", lane.name),
        workers => format!("held by {} ({workers} workers)", lane.name),
    }
}

/// Maximum bytes that a lane holds besides its queues: an input or an output, in all its pieces, for each worker, and as many results that wait for
/// their turn; on a single thread an input, and an output that waits for room.
fn held(graph: &Graph, lane: &Lane) -> u64 {
    let edges = |direction, bound: bool| {
        lane.stages
            .iter()
            .flat_map(move |&node| graph.dag.edges_directed(node, direction))
            .filter(move |edge| edge.weight().bound.is_some() == bound)
            .filter_map(|edge| item(graph, edge.target(), edge.weight().port))
            .max()
            .unwrap_or(0)
    };
    let (input, output) = (edges(Direction::Incoming, true), edges(Direction::Outgoing, true));
    match lane.kind {
        LaneKind::Workers => {
            let workers = lane.workers.max(1) as u64;
            let passed = input.max(output.saturating_mul(pieces(graph, lane))).saturating_mul(2 * workers);
            // Between the lane's own stages, where it is larger: a photograph before it is resized.
            let inside = edges(Direction::Outgoing, false).saturating_sub(output).saturating_mul(workers);
            passed.saturating_add(inside)
        }
        LaneKind::Source | LaneKind::Sequential | LaneKind::Device => input.saturating_add(output),
    }
}

/// How many items a lane makes of one.
fn pieces(graph: &Graph, lane: &Lane) -> u64 {
    let stages = lane.stages.iter().map(|&node| graph.stage(node));
    stages.map(|stage| stage.kind.pieces(&stage.options)).fold(1, u64::saturating_mul)
}

/// How many workers of a lane pass on, inside it, images of unknown size.
fn unknown(graph: &Graph, lane: &Lane) -> usize {
    let mut inside = lane.stages.iter().flat_map(|&node| graph.dag.edges(node)).filter(|edge| edge.weight().bound.is_none());
    let unknown = lane.kind == LaneKind::Workers && inside.any(|edge| item(graph, edge.target(), edge.weight().port).is_none());
    if unknown { lane.workers.max(1) } else { 0 }
}
