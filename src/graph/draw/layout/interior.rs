//! The inside of one lane: its stages side by side, the calls between them.
//! It doesn't know where the lane is.

use petgraph::graph::EdgeIndex;
use petgraph::visit::EdgeRef;

use super::geometry::{Rect, Sizes};
use crate::graph::Graph;

/// Between a lane's border and its stages.
const PAD: f64 = 12.0;
/// Between two stages, where no label needs more.
const GAP: f64 = 26.0;
/// What a call's label leaves of the gap for its arrow.
const ARROW: f64 = 20.0;
/// Between two calls that pass under stages.
const TRACK: f64 = 11.0;

/// A lane's size, and where its stages and calls are in it.
#[derive(Debug, Clone)]
pub(super) struct Interior {
    pub(super) width: f64,
    pub(super) height: f64,
    /// In the order of the lane's stages.
    pub(super) stages: Vec<Rect>,
    /// Calls from one stage to the next.
    pub(super) direct: Vec<Direct>,
    /// Calls that pass under other stages, with the height of their track.
    pub(super) under: Vec<(EdgeIndex, f64)>,
}

/// A call from one stage to its right neighbour: from `x.0` to `x.1` at height `y`.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    pub(super) edge: EdgeIndex,
    pub(super) x: (f64, f64),
    pub(super) y: f64,
    pub(super) label: Rect,
}

pub(super) fn arrange(graph: &Graph, sizes: &Sizes, lane: usize) -> Interior {
    let nodes = &graph.lanes[lane].stages;
    let position = |node| nodes.iter().position(|&other| other == node);
    let mut direct: Vec<Option<EdgeIndex>> = vec![None; nodes.len()];
    let mut passing: Vec<(EdgeIndex, usize, usize)> = Vec::new();
    for edge in graph.dag.edge_references() {
        let (Some(from), Some(to)) = (position(edge.source()), position(edge.target())) else { continue };
        if to == from + 1 && direct[from].is_none() {
            direct[from] = Some(edge.id());
        } else {
            passing.push((edge.id(), from, to));
        }
    }

    let height = nodes.iter().map(|node| sizes.stages[node.index()].1).fold(0.0, f64::max);
    let mut stages: Vec<Rect> = Vec::with_capacity(nodes.len());
    let mut x = PAD + sizes.caption;
    for (at, node) in nodes.iter().enumerate() {
        let width = sizes.stages[node.index()].0;
        stages.push(Rect { x, y: PAD, width, height });
        let label = direct[at].map_or(0.0, |edge| sizes.labels[edge.index()].0 + ARROW);
        x += width + if at + 1 < nodes.len() { label.max(GAP) } else { PAD };
    }

    let direct = direct.iter().enumerate().filter_map(|(at, edge)| {
        let edge = (*edge)?;
        let (from, to) = (stages.get(at)?.right(), stages.get(at + 1)?.x);
        let (width, label_height) = sizes.labels[edge.index()];
        let y = PAD + height / 2.0;
        let label = Rect { x: (from + to - width) / 2.0 - 3.0, y: y - label_height, width, height: label_height };
        Some(Direct { edge, x: (from, to), y, label })
    });
    let direct = direct.collect();
    let (under, tracks) = tracks_under(passing, PAD + height);
    let below = if tracks == 0 { PAD } else { PAD + TRACK * tracks as f64 };
    Interior { width: x, height: PAD + height + below, stages, direct, under }
}

/// Gives each call that passes under stages the first track on which it meets no other.
fn tracks_under(mut passing: Vec<(EdgeIndex, usize, usize)>, stages_end: f64) -> (Vec<(EdgeIndex, f64)>, usize) {
    passing.sort_by_key(|&(_, from, to)| (to.abs_diff(from), from));
    let mut tracks: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut placed = Vec::with_capacity(passing.len());
    for (edge, from, to) in passing {
        let span = (from.min(to), from.max(to));
        let meets = |track: &Vec<(usize, usize)>| track.iter().any(|other| span.0 <= other.1 && other.0 <= span.1);
        let track = tracks.iter().position(|track| !meets(track)).unwrap_or(tracks.len());
        if track == tracks.len() {
            tracks.push(Vec::new());
        }
        tracks[track].push(span);
        placed.push((edge, stages_end + TRACK * (track as f64 + 1.0)));
    }
    (placed, tracks.len())
}
