//! The host's memory before a run: what edges may queue, what workers hold in their hands, what is kept of an open window.
//! Sizes of items are the payloads' own, from the facts of the file.

use petgraph::visit::EdgeRef;
use pipeline_contract::Facts;
use serde_json::{Value, json};

use crate::graph::Graph;
use crate::spec::Pipeline;

/// The host's memory by cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What is held, with its bytes at most.
    pub shares: Vec<(String, u64)>,
    /// What queues and workers may take together: the file's `host_memory_budget`.
    pub budget: u64,
    /// The window's samples, kept on the host until its step is made, beside the budget.
    pub window: u64,
}

impl Host {
    pub(super) fn of(pipeline: &Pipeline, window: usize) -> Self {
        let graph = &pipeline.graph;
        let mut shares = Vec::new();
        for edge in graph.dag.edge_references() {
            let Some(bound) = edge.weight().bound else { continue };
            let facts = facts(graph, edge.target().index(), edge.weight().port);
            let queued = match edge.weight().ty.planned(&facts) {
                Some(bytes) => bound.bytes.min(bytes.saturating_mul(bound.items as u64)).max(bytes),
                None if edge.weight().ty.name() == "files" => 0,
                None => bound.bytes,
            };
            if queued > 0 {
                let (from, to) = (&graph.stage(edge.source()).id, &graph.stage(edge.target()).id);
                shares.push((format!("queue {from} -> {to} ({} items)", bound.items), queued));
            }
        }
        for lane in graph.lanes.iter().filter(|lane| lane.workers > 0) {
            let last = lane.stages.last().copied();
            let out = last
                .and_then(|last| graph.dag.edges(last).next())
                .and_then(|edge| edge.weight().ty.planned(&facts(graph, edge.target().index(), edge.weight().port)));
            if let Some(bytes) = out {
                shares.push((format!("{} workers of {}", lane.workers, lane.name), bytes.saturating_mul(lane.workers as u64)));
            }
        }
        let kept = graph.order.iter().find(|&&node| graph.stage(node).kind.name == "train_step").and_then(|&node| {
            let facts = facts(graph, node.index(), 0);
            let ty = graph.stage(node).kind.inputs.first()?;
            Some(ty.planned(&facts)? / facts.integer("batch")?.max(1))
        });
        let window = kept.unwrap_or(0).saturating_mul(window as u64);
        Self { shares, budget: pipeline.settings.host_memory_budget, window }
    }

    /// Bytes at most: what queues and workers may take, but no more than their budget, and the window.
    pub fn peak(&self) -> u64 {
        self.shares.iter().map(|(_, bytes)| bytes).sum::<u64>().min(self.budget) + self.window
    }

    pub(super) fn to_json(&self) -> Value {
        let causes: serde_json::Map<_, _> = self.shares.iter().map(|(what, bytes)| (what.clone(), json!(bytes))).collect();
        json!({"peak": self.peak(), "causes": causes, "window": self.window, "budget": self.budget})
    }
}

fn facts(graph: &Graph, node: usize, port: usize) -> Facts {
    graph.facts.get(node).and_then(|ports| ports.get(port)).cloned().unwrap_or_default()
}
