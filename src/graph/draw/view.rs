//! What every drawing shows: names, options in short, lanes' captions, edges' labels, shares of busy time.
//! It decides the words, not how they look.

use petgraph::graph::{EdgeIndex, NodeIndex};
use pipeline_contract::{DefaultValue, Lane as LaneKind, OptionSpec, OptionType};
use serde_json::Value;

use super::super::{Graph, Lane};
use super::timing::Timing;
use super::words;

/// A graph with what its drawings say.
pub(super) struct View<'a> {
    pub(super) graph: &'a Graph,
    pub(super) title: &'a str,
    shares: Vec<Option<f64>>,
    busy_seconds: Option<f64>,
}

impl<'a> View<'a> {
    pub(super) fn new(graph: &'a Graph, title: &'a str, timings: Option<&[Timing]>) -> Self {
        let busy = |node: NodeIndex| {
            let timing = timings?.iter().find(|timing| timing.stage == graph.stage(node).id)?;
            (timing.busy_seconds.is_finite() && timing.busy_seconds >= 0.0).then_some(timing.busy_seconds)
        };
        let seconds: Vec<Option<f64>> = graph.dag.node_indices().map(busy).collect();
        let total: f64 = seconds.iter().flatten().sum();
        let share = |seconds: f64| if total > 0.0 { seconds / total } else { 0.0 };
        let busy_seconds = seconds.iter().any(Option::is_some).then_some(total);
        Self { graph, title, shares: seconds.into_iter().map(|seconds| seconds.map(share)).collect(), busy_seconds }
    }

    /// `9 stages, 4 lanes`, and where the colours come from.
    pub(super) fn summary(&self) -> String {
        let stages = words::count(self.graph.dag.node_count(), "stage");
        let lanes = words::count(self.graph.lanes.len(), "lane");
        match self.busy_seconds {
            Some(seconds) => format!("{stages}, {lanes}, shares of {} busy", words::seconds(seconds)),
            None => format!("{stages}, {lanes}"),
        }
    }

    pub(super) fn id(&self, node: NodeIndex) -> &'a str {
        &self.graph.dag[node].id
    }

    /// The kind's name, where the id doesn't say it already.
    pub(super) fn kind(&self, node: NodeIndex) -> Option<&'static str> {
        let stage = &self.graph.dag[node];
        (stage.id != stage.kind.name).then_some(stage.kind.name)
    }

    /// The options that aren't at their defaults, each in a few words.
    pub(super) fn options(&self, node: NodeIndex) -> Vec<String> {
        let stage = &self.graph.dag[node];
        let said = |option: &OptionSpec| {
            let value = stage.options.get(option.name).filter(|value| !value.is_null())?;
            let default = match &option.default {
                // What stands elsewhere in the file is the same for many stages.
                DefaultValue::Key(..) => return None,
                DefaultValue::Value(default) => Some(default),
                DefaultValue::Required | DefaultValue::Absent => None,
            };
            (default != Some(value)).then(|| in_short(option, value))
        };
        stage.kind.options.iter().filter_map(said).collect()
    }

    /// The stage's share of the busy time of all stages, from 0 to 1.
    pub(super) fn share(&self, node: NodeIndex) -> Option<f64> {
        self.shares.get(node.index()).copied().flatten()
    }

    /// Where a lane runs.
    pub(super) fn place(&self, lane: &Lane) -> String {
        match (lane.kind, lane.workers) {
            (LaneKind::Source, _) => "source".into(),
            (LaneKind::Workers, 0) => "own thread".into(),
            (LaneKind::Workers, workers) => words::count(workers, "worker"),
            (LaneKind::Sequential, _) => "sequential".into(),
            (LaneKind::Device, _) => "device".into(),
        }
    }

    /// The lane's name and where it runs, once where both are the same.
    pub(super) fn caption(&self, lane: &Lane) -> String {
        let place = self.place(lane);
        if place == lane.name { place } else { format!("{} · {place}", lane.name) }
    }

    /// What flows and how much may queue: `image_pair  ≤4, 256 MiB`. Without a bound, what flows.
    pub(super) fn label(&self, edge: EdgeIndex) -> String {
        let edge = &self.graph.dag[edge];
        match edge.bound {
            Some(bound) => format!("{}  ≤{}, {}", edge.ty.name(), bound.items, words::bytes(bound.bytes)),
            None => edge.ty.name().into(),
        }
    }
}

fn in_short(option: &OptionSpec, value: &Value) -> String {
    let name = option.name;
    let words = match value {
        Value::Bool(true) => name.into(),
        Value::Bool(false) => format!("no {name}"),
        Value::Number(number) => match (&option.ty, number.as_u64()) {
            (OptionType::Bytes, Some(amount)) => format!("{name} {}", words::bytes(amount)),
            _ => format!("{name} {number}"),
        },
        Value::String(text) => format!("{name} {text}"),
        Value::Array(values) => format!("{name} {}", values.iter().map(plain).collect::<Vec<_>>().join("+")),
        Value::Object(map) if matches!(option.ty, OptionType::Map { .. }) => {
            format!("{name} {}", map.keys().map(String::as_str).collect::<Vec<_>>().join("+"))
        }
        // A variant is named by its only key; what is inside is for those who open the file.
        Value::Object(map) if map.len() == 1 => format!("{name} {}", map.keys().map(String::as_str).collect::<String>()),
        Value::Object(_) => name.into(),
        Value::Null => name.into(),
    };
    words::shorten(&words::printable(&words), 28)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}
