//! Heights and lines: how far down each row stands, and along which tracks between two rows the lines change columns.
//! Columns and ports are given.

use super::geometry::{Layout, Rect};
use super::interior::Interior;
use super::ports::{Ports, Side};
use super::rows::{Rows, What};
use crate::graph::Graph;

/// Between a row and the next, without tracks.
const SPACE: f64 = 20.0;
/// Between two tracks, and from a row to the nearest.
const TRACK: f64 = 9.0;
/// Lines nearer than this would be taken for one.
const NEAR: f64 = 6.0;
/// Columns nearer than this are one.
const SLIP: f64 = 3.0;

/// The part of a line between two rows: it enters above at `from` and leaves below at `to`.
#[derive(Debug, Clone, Copy)]
struct Jog {
    from: f64,
    to: f64,
    chain: usize,
    track: usize,
}

impl Jog {
    fn span(&self) -> (f64, f64) {
        (self.from.min(self.to), self.from.max(self.to))
    }
}

pub(super) fn finish(graph: &Graph, rows: &Rows, interiors: &[Interior], left: &[f64], ports: &Ports) -> Layout {
    let columns: Vec<Vec<f64>> = rows.chains.iter().map(|chain| columns_of(graph, rows, left, ports, chain)).collect();
    let mut gaps: Vec<Vec<Jog>> = vec![Vec::new(); rows.rows.len()];
    for (index, chain) in rows.chains.iter().enumerate() {
        for (at, pair) in chain.items.windows(2).enumerate() {
            let (from, to) = (columns[index][at], columns[index][at + 1]);
            if from != to {
                gaps[rows.items[pair[0]].row].push(Jog { from, to, chain: index, track: 0 });
            }
        }
    }
    gaps.iter_mut().for_each(|jogs| assign_tracks(jogs));

    let mut tops = Vec::with_capacity(rows.rows.len());
    let mut y = 0.0;
    let mut bottoms = Vec::with_capacity(rows.rows.len());
    for (row, gap) in rows.rows.iter().zip(&gaps) {
        tops.push(y);
        y += row.iter().map(|&item| rows.items[item].height).fold(0.0, f64::max);
        bottoms.push(y);
        let tracks = gap.iter().map(|jog| jog.track + 1).max().unwrap_or(0);
        y += SPACE.max(TRACK * (tracks as f64 + 1.0));
    }

    let mut layout = boxes(graph, rows, interiors, left, &tops);
    for (index, chain) in rows.chains.iter().enumerate() {
        let Some((from, to)) = graph.dag.edge_endpoints(chain.edge) else { continue };
        let (upper, lower) = if chain.upward { (to, from) } else { (from, to) };
        let mut line = vec![(columns[index][0], layout.stages[upper.index()].bottom())];
        for (at, pair) in chain.items.windows(2).enumerate() {
            let row = rows.items[pair[0]].row;
            if let Some(jog) = gaps[row].iter().find(|jog| jog.chain == index) {
                let y = bottoms[row] + TRACK * (jog.track as f64 + 1.0);
                line.extend([(columns[index][at], y), (columns[index][at + 1], y)]);
            }
        }
        line.push((columns[index].last().copied().unwrap_or_default(), layout.stages[lower.index()].y));
        if chain.upward {
            line.reverse();
        }
        layout.routes[chain.edge.index()] = line;
    }
    calls(graph, interiors, left, ports, &mut layout);
    let boxes = || layout.lanes.iter().chain(layout.labels.iter().flatten());
    let lines = layout.routes.iter().flatten().map(|point| point.0);
    layout.width = boxes().map(Rect::right).chain(lines).fold(0.0, f64::max);
    layout.height = boxes().map(Rect::bottom).fold(0.0, f64::max);
    layout
}

/// The x of a chain at each of its items.
fn columns_of(graph: &Graph, rows: &Rows, left: &[f64], ports: &Ports, chain: &super::rows::Chain) -> Vec<f64> {
    let mut columns: Vec<f64> = chain.items.iter().map(|&item| (left[item] + rows.items[item].width / 2.0).round()).collect();
    let Some((from, to)) = graph.dag.edge_endpoints(chain.edge) else { return columns };
    let (upper, lower) = if chain.upward { (to, from) } else { (from, to) };
    if let (Some(first), Some(&port)) = (columns.first_mut(), ports.get(&(chain.edge, upper, Side::Bottom))) {
        *first = port;
    }
    if let (Some(last), Some(&port)) = (columns.last_mut(), ports.get(&(chain.edge, lower, Side::Top))) {
        *last = port;
    }
    // A corner of a few units looks like a slip.
    for at in (1..columns.len()).rev() {
        if (columns[at - 1] - columns[at]).abs() <= SLIP {
            columns[at - 1] = columns[at];
        }
    }
    columns
}

/// Orders the lines of one gap so that few cross and none run on each other, then packs them into tracks.
fn assign_tracks(jogs: &mut [Jog]) {
    // What it costs to have `a` above `b`.
    let cost = |a: &Jog, b: &Jog| {
        let within = |x: f64, span: (f64, f64)| span.0 < x && x < span.1;
        let overlap = if (a.to - b.from).abs() < NEAR { 100 } else { 0 };
        overlap + i32::from(within(b.from, a.span())) + i32::from(within(a.to, b.span()))
    };
    jogs.sort_by(|a, b| a.span().0.total_cmp(&b.span().0));
    for _ in 0..jogs.len() {
        for at in 1..jogs.len() {
            if cost(&jogs[at - 1], &jogs[at]) > cost(&jogs[at], &jogs[at - 1]) {
                jogs.swap(at - 1, at);
            }
        }
    }
    for at in 0..jogs.len() {
        let (start, end) = jogs[at].span();
        let meets = |other: &&Jog| other.span().0 < end + NEAR && start < other.span().1 + NEAR;
        jogs[at].track = jogs[..at].iter().filter(meets).map(|other| other.track + 1).max().unwrap_or(0);
    }
}

/// Lanes, stages and labels; no lines yet.
fn boxes(graph: &Graph, rows: &Rows, interiors: &[Interior], left: &[f64], tops: &[f64]) -> Layout {
    let mut layout = Layout {
        lanes: vec![Rect::default(); graph.lanes.len()],
        stages: vec![Rect::default(); graph.dag.node_count()],
        labels: vec![None; graph.dag.edge_count()],
        routes: vec![Vec::new(); graph.dag.edge_count()],
        width: 0.0,
        height: 0.0,
    };
    for (index, item) in rows.items.iter().enumerate() {
        let rect = Rect { x: left[index], y: tops[item.row], width: item.width, height: item.height };
        match item.what {
            What::Lane(lane) => {
                layout.lanes[lane] = rect;
                for (&node, stage) in graph.lanes[lane].stages.iter().zip(&interiors[lane].stages) {
                    layout.stages[node.index()] = Rect { x: rect.x + stage.x, y: rect.y + stage.y, ..*stage };
                }
            }
            What::Label(edge) => layout.labels[edge.index()] = Some(rect),
            What::Pass => {}
        }
    }
    layout
}

/// The lines within lanes.
fn calls(graph: &Graph, interiors: &[Interior], left: &[f64], ports: &Ports, layout: &mut Layout) {
    for (lane, interior) in interiors.iter().enumerate() {
        let (x, y) = (left[lane], layout.lanes[lane].y);
        for call in &interior.direct {
            layout.routes[call.edge.index()] = vec![(x + call.x.0, y + call.y), (x + call.x.1, y + call.y)];
            layout.labels[call.edge.index()] = Some(Rect { x: x + call.label.x, y: y + call.label.y, ..call.label });
        }
        for &(edge, track) in &interior.under {
            let Some((from, to)) = graph.dag.edge_endpoints(edge) else { continue };
            let port = |node| ports.get(&(edge, node, Side::Bottom)).copied().unwrap_or_default();
            let start = (port(from), layout.stages[from.index()].bottom());
            let end = (port(to), layout.stages[to.index()].bottom());
            layout.routes[edge.index()] = vec![start, (start.0, y + track), (end.0, y + track), end];
        }
    }
}
