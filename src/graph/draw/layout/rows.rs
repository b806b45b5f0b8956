//! Layers: lanes in the even rows, labels in the odd ones, and what passes by in either.
//! It decides the rows; `order` and `place` decide where in its row an item is.

use std::collections::BTreeSet;

use petgraph::graph::EdgeIndex;
use pipeline_contract::Lane as LaneKind;

use super::geometry::Sizes;
use super::interior::Interior;
use crate::graph::Graph;

/// The width that a line takes where it passes a row.
const PASS: f64 = 18.0;
/// How far into a stage lines come in where nothing else matters: the same for narrow and wide stages, for straight lines.
const ANCHOR: f64 = 46.0;

/// What stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Lane(usize),
    Label(EdgeIndex),
    Pass,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) what: What,
    pub(super) row: usize,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// One piece of an edge, between items of neighbouring rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) upper: usize,
    pub(super) lower: usize,
    /// Where on the items it ends, from their left.
    pub(super) upper_at: f64,
    pub(super) lower_at: f64,
    /// Where on the upper item its other end would best be: under the lane's first stage, which keeps the drawing narrow.
    pub(super) upper_align: f64,
    /// How much a straight line here is worth.
    pub(super) weight: f64,
}

/// An edge between lanes: its items from the upper lane to the lower.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    pub(super) edge: EdgeIndex,
    pub(super) items: Vec<usize>,
    /// True when the edge's producer is in the lower lane (no such edge comes out of the graph's check).
    pub(super) upward: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// The lanes, by their index, then labels and passing pieces.
    pub(super) items: Vec<Item>,
    /// The items of each row, from left to right.
    pub(super) rows: Vec<Vec<usize>>,
    pub(super) links: Vec<Link>,
    pub(super) chains: Vec<Chain>,
}

impl Rows {
    pub(super) fn new(graph: &Graph, sizes: &Sizes, interiors: &[Interior]) -> Self {
        let ranks = ranks(graph);
        let mut items: Vec<Item> = Vec::new();
        for (lane, interior) in interiors.iter().enumerate() {
            items.push(Item { what: What::Lane(lane), row: 2 * ranks[lane], width: interior.width, height: interior.height });
        }
        let mut rows = Self { items, rows: Vec::new(), links: Vec::new(), chains: Vec::new() };
        for edge in graph.dag.edge_indices() {
            rows.add_edge(graph, sizes, interiors, &ranks, edge);
        }
        let height = rows.items.iter().map(|item| item.row + 1).max().unwrap_or(0);
        rows.rows = vec![Vec::new(); height];
        for (index, item) in rows.items.iter().enumerate() {
            rows.rows[item.row].push(index);
        }
        rows
    }

    fn add_edge(&mut self, graph: &Graph, sizes: &Sizes, interiors: &[Interior], ranks: &[usize], edge: EdgeIndex) {
        let (Some((from, to)), Some((producer, consumer))) = (lanes_of(graph, edge), graph.dag.edge_endpoints(edge)) else {
            return;
        };
        if from == to || ranks[from] == ranks[to] {
            return;
        }
        let upward = ranks[from] > ranks[to];
        let ((upper, upper_node), (lower, lower_node)) =
            if upward { ((to, consumer), (from, producer)) } else { ((from, producer), (to, consumer)) };
        let mut chain = vec![upper];
        for row in 2 * ranks[upper] + 1..2 * ranks[lower] {
            // The label stands right above the consumer, whose bound it tells.
            let item = if row + 1 == 2 * ranks[lower] {
                let (width, height) = sizes.labels[edge.index()];
                Item { what: What::Label(edge), row, width, height }
            } else {
                Item { what: What::Pass, row, width: PASS, height: 0.0 }
            };
            self.items.push(item);
            chain.push(self.items.len() - 1);
        }
        chain.push(lower);

        let anchor = |lane: usize, node| {
            let at = graph.lanes[lane].stages.iter().position(|&other| other == node).unwrap_or(0);
            let stage = interiors[lane].stages[at];
            stage.x + ANCHOR.min(stage.width / 2.0)
        };
        let first_stage =
            |lane: usize| interiors[lane].stages.first().map_or(0.0, |stage| stage.x + ANCHOR.min(stage.width / 2.0));
        for pair in chain.windows(2) {
            let end =
                |item: usize, node| if item < interiors.len() { anchor(item, node) } else { self.items[item].width / 2.0 };
            let upper_at = end(pair[0], upper_node);
            // What leaves a long lane in the middle should go straight down; what leaves it at its end may go back to the left.
            let keeps = pair[0] >= interiors.len() || graph.lanes[pair[0]].kind == LaneKind::Device;
            self.links.push(Link {
                upper: pair[0],
                lower: pair[1],
                upper_at,
                lower_at: end(pair[1], lower_node),
                upper_align: if keeps { upper_at } else { first_stage(pair[0]) },
                weight: match (pair[0] < interiors.len(), pair[1] < interiors.len()) {
                    (true, _) => 1.0,
                    (false, true) => 3.0,
                    (false, false) => 8.0,
                },
            });
        }
        self.chains.push(Chain { edge, items: chain, upward });
    }
}

/// The layer of each lane, by longest path. Lanes in a cycle, which the graph's check rules out, are taken by their index.
fn ranks(graph: &Graph) -> Vec<usize> {
    let lanes = graph.lanes.len();
    let edges: BTreeSet<(usize, usize)> =
        graph.dag.edge_indices().filter_map(|edge| lanes_of(graph, edge)).filter(|(from, to)| from != to).collect();
    let mut order: Vec<usize> = Vec::with_capacity(lanes);
    let mut open: BTreeSet<usize> = (0..lanes).collect();
    while let Some(&lowest) = open.first() {
        let free = |lane: &&usize| edges.iter().all(|(from, to)| to != *lane || !open.contains(from));
        let next = open.iter().find(free).copied().unwrap_or(lowest);
        open.remove(&next);
        order.push(next);
    }
    let mut place = vec![0; lanes];
    order.iter().enumerate().for_each(|(at, &lane)| place[lane] = at);
    let downward = |&(from, to): &(usize, usize)| if place[from] < place[to] { (from, to) } else { (to, from) };
    let edges: BTreeSet<(usize, usize)> = edges.iter().map(downward).collect();

    let mut ranks = vec![0; lanes];
    for &lane in &order {
        ranks[lane] = edges.iter().filter(|edge| edge.1 == lane).map(|edge| ranks[edge.0] + 1).max().unwrap_or(0);
    }
    // What nothing feeds stands right above its first consumer.
    for &lane in order.iter().filter(|&&lane| edges.iter().all(|edge| edge.1 != lane)) {
        ranks[lane] = edges.iter().filter(|edge| edge.0 == lane).map(|edge| ranks[edge.1] - 1).min().unwrap_or(0);
    }
    ranks
}

/// The lanes of an edge's two ends.
fn lanes_of(graph: &Graph, edge: EdgeIndex) -> Option<(usize, usize)> {
    let (from, to) = graph.dag.edge_endpoints(edge)?;
    Some((graph.lane_of[from.index()], graph.lane_of[to.index()]))
}
