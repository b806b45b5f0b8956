//! Where along a stage's upper and lower border each line ends: straight below or above its other end where it can be.
//! Calls between neighbours, which end at the sides, are not its matter.

use std::collections::HashMap;

use petgraph::graph::{EdgeIndex, NodeIndex};

use super::interior::Interior;
use super::place::separate;
use super::rows::Rows;
use crate::graph::Graph;

/// From a stage's corner to the first line.
const CORNER: f64 = 14.0;
/// Between two lines.
const APART: f64 = 14.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Top,
    Bottom,
}

/// The x of each line's end, by edge, node and side.
pub(super) type Ports = HashMap<(EdgeIndex, NodeIndex, Side), f64>;

pub(super) fn assign(graph: &Graph, rows: &Rows, interiors: &[Interior], left: &[f64]) -> Ports {
    let mut ends: HashMap<(NodeIndex, Side), Vec<(f64, EdgeIndex)>> = HashMap::new();
    let middle = |item: usize| left[item] + rows.items[item].width / 2.0;
    for chain in &rows.chains {
        let Some((from, to)) = graph.dag.edge_endpoints(chain.edge) else { continue };
        let (upper, lower) = if chain.upward { (to, from) } else { (from, to) };
        // A chain has at least a label between its two lanes.
        let (Some(&first), Some(&last)) = (chain.items.get(1), chain.items.iter().rev().nth(1)) else { continue };
        ends.entry((upper, Side::Bottom)).or_default().push((middle(first), chain.edge));
        ends.entry((lower, Side::Top)).or_default().push((middle(last), chain.edge));
    }
    for &(edge, _) in interiors.iter().flat_map(|interior| &interior.under) {
        let Some((from, to)) = graph.dag.edge_endpoints(edge) else { continue };
        let (start, end) = (stage(graph, interiors, left, from), stage(graph, interiors, left, to));
        ends.entry((from, Side::Bottom)).or_default().push((end.0, edge));
        ends.entry((to, Side::Bottom)).or_default().push((start.0, edge));
    }

    let mut ports = Ports::new();
    for ((node, side), mut ends) in ends {
        ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let (x, width) = stage(graph, interiors, left, node);
        let room = (width - 2.0 * CORNER).max(0.0);
        let apart = APART.min(room / ends.len().max(1) as f64);
        let last = ends.len().saturating_sub(1) as f64;
        let wishes: Vec<(f64, f64)> = ends.iter().map(|end| (wish(end.0, x, width), 1.0)).collect();
        let offsets: Vec<f64> = (0..ends.len()).map(|at| at as f64 * apart).collect();
        for (at, (port, end)) in separate(&wishes, &offsets).into_iter().zip(&ends).enumerate() {
            let (least, most) = (x + CORNER + at as f64 * apart, x + width - CORNER - (last - at as f64) * apart);
            ports.insert((end.1, node, side), port.max(least).min(most.max(least)).round());
        }
    }
    ports
}

/// Straight, where the other end is within the stage's width; else in from the corner on that side.
fn wish(other: f64, x: f64, width: f64) -> f64 {
    let (least, most) = (x + CORNER, x + width - CORNER);
    if (least..=most).contains(&other) {
        other
    } else if other < least {
        x + width / 3.0
    } else {
        x + width * 2.0 / 3.0
    }
}

/// Left edge and width of a stage.
fn stage(graph: &Graph, interiors: &[Interior], left: &[f64], node: NodeIndex) -> (f64, f64) {
    let lane = graph.lane_of[node.index()];
    let at = graph.lanes[lane].stages.iter().position(|&other| other == node).unwrap_or(0);
    let rect = interiors[lane].stages[at];
    (left[lane] + rect.x, rect.width)
}
