//! Places a graph in the plane: lanes as rows of stages, lanes above one another by their edges, labels on the edges.
//! It knows sizes and neither text nor colours; `svg` draws what it says.
//!
//! The stages of a lane stand side by side in one row, so that every stage can be reached from above and from below.
//! Lanes are layered by their longest path. Between two layers of lanes is a layer of labels, so that a label is placed
//! like everything else and covers nothing. See Sugiyama, Tagawa, Toda: "Methods for visual understanding of hierarchical
//! system structures" (1981).

mod interior;
mod order;
mod place;
mod ports;
mod route;
mod rows;

use petgraph::graph::EdgeIndex;

use crate::graph::Graph;

/// A box; `x` and `y` are its left upper corner.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    pub(super) fn middle(&self) -> (f64, f64) {
        (self.x + self.width / 2.0, self.y + self.height / 2.0)
    }
}

/// How large things are.
#[derive(Debug, Clone)]
pub(super) struct Sizes {
    /// Width and height of each stage, by node index.
    pub(super) stages: Vec<(f64, f64)>,
    /// Width and height of each edge's label, by edge index.
    pub(super) labels: Vec<(f64, f64)>,
    /// The width of the column at the left of every lane that holds its caption.
    pub(super) caption: f64,
}

/// Where things are.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// By lane index.
    pub(super) lanes: Vec<Rect>,
    /// By node index.
    pub(super) stages: Vec<Rect>,
    /// By edge index; `None` for a call that passes over other stages of its lane.
    pub(super) labels: Vec<Option<Rect>>,
    /// By edge index: the corners of a line of horizontal and vertical pieces, from the producer's border to the consumer's.
    pub(super) routes: Vec<Vec<(f64, f64)>>,
    /// The extent of everything, from (0, 0).
    pub(super) width: f64,
    /// See `width`.
    pub(super) height: f64,
}

/// Places a graph.
pub(super) fn layout(graph: &Graph, sizes: &Sizes) -> Layout {
    let interiors: Vec<_> = (0..graph.lanes.len()).map(|lane| interior::arrange(graph, sizes, lane)).collect();
    let mut rows = rows::Rows::new(graph, sizes, &interiors);
    order::reduce_crossings(&mut rows);
    let left = place::columns(&rows);
    let ports = ports::assign(graph, &rows, &interiors, &left);
    route::finish(graph, &rows, &interiors, &left, &ports)
}

/// The lanes of an edge's two ends.
fn lanes_of(graph: &Graph, edge: EdgeIndex) -> Option<(usize, usize)> {
    let (from, to) = graph.dag.edge_endpoints(edge)?;
    Some((graph.lane_of[from.index()], graph.lane_of[to.index()]))
}

#[cfg(test)]
mod tests;
