//! Places a graph in the plane: lanes as rows of stages, lanes above one another by their edges, labels on the edges.
//! It knows sizes and neither text nor colours; `svg` draws what it says.
//!
//! The stages of a lane stand side by side in one row, so that every stage can be reached from above and from below.
//! Lanes are layered by their longest path. Between two layers of lanes is a layer of labels, so that a label is placed
//! like everything else and covers nothing. See Sugiyama, Tagawa, Toda: "Methods for visual understanding of hierarchical
//! system structures" (1981).

mod geometry;
mod interior;
mod order;
mod place;
mod ports;
mod route;
mod rows;

pub(super) use geometry::{Layout, Rect, Sizes};

use crate::graph::Graph;

/// Places a graph.
pub(super) fn layout(graph: &Graph, sizes: &Sizes) -> Layout {
    let interiors: Vec<_> = (0..graph.lanes.len()).map(|lane| interior::arrange(graph, sizes, lane)).collect();
    let mut rows = rows::Rows::new(graph, sizes, &interiors);
    order::reduce_crossings(&mut rows);
    let left = place::columns(&rows);
    let ports = ports::assign(graph, &rows, &interiors, &left);
    route::finish(graph, &rows, &interiors, &left, &ports)
}

#[cfg(test)]
mod tests;
