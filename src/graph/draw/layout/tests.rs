//! Nothing overlaps, lanes hold their own stages and no others, and no line runs through a stage.

use proptest::prelude::*;

use super::super::testing;
use super::{Layout, Rect, Sizes, layout};
use crate::graph::Graph;

fn sizes(graph: &Graph) -> Sizes {
    // Widths that differ, as names do.
    let width = |at: usize| 92.0 + 17.0 * (at % 5) as f64;
    Sizes {
        stages: (0..graph.dag.node_count()).map(|at| (width(at), 40.0)).collect(),
        labels: (0..graph.dag.edge_count()).map(|at| (width(at + 3), 16.0)).collect(),
        caption: 70.0,
    }
}

fn inside(inner: &Rect, outer: &Rect) -> bool {
    inner.x >= outer.x && inner.y >= outer.y && inner.right() <= outer.right() && inner.bottom() <= outer.bottom()
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    // Positions are rounded to whole units, so boxes may come one unit nearer, never touch.
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

fn check(graph: &Graph, drawn: &Layout) {
    for (at, stage) in drawn.stages.iter().enumerate() {
        for (lane, rect) in drawn.lanes.iter().enumerate() {
            if graph.lane_of[at] == lane {
                assert!(inside(stage, rect), "stage {at} leaves its lane {lane}");
            } else {
                assert!(!overlap(stage, rect), "stage {at} is in the foreign lane {lane}");
            }
        }
        assert!(drawn.stages[..at].iter().all(|other| !overlap(stage, other)), "stage {at} covers another");
    }
    for (at, lane) in drawn.lanes.iter().enumerate() {
        assert!(drawn.lanes[..at].iter().all(|other| !overlap(lane, other)), "lane {at} covers another");
    }
    for (at, label) in drawn.labels.iter().enumerate() {
        let Some(label) = label else { continue };
        assert!(drawn.labels[..at].iter().flatten().all(|other| !overlap(label, other)), "label {at} covers another");
        assert!(drawn.stages.iter().all(|stage| !overlap(label, stage)), "label {at} covers a stage");
    }
    for edge in graph.dag.edge_indices() {
        check_line(graph, drawn, edge);
    }
}

fn check_line(graph: &Graph, drawn: &Layout, edge: petgraph::graph::EdgeIndex) {
    let (from, to) = graph.dag.edge_endpoints(edge).unwrap();
    let line = &drawn.routes[edge.index()];
    let on_border = |point: (f64, f64), stage: &Rect| {
        (stage.x..=stage.right()).contains(&point.0) && (stage.y..=stage.bottom()).contains(&point.1)
    };
    assert!(on_border(line[0], &drawn.stages[from.index()]), "edge {edge:?} doesn't leave its producer");
    assert!(on_border(line[line.len() - 1], &drawn.stages[to.index()]), "edge {edge:?} doesn't reach its consumer");
    for piece in line.windows(2) {
        let (a, b) = (piece[0], piece[1]);
        assert!(a.0 == b.0 || a.1 == b.1, "edge {edge:?} has a slanted piece");
        let piece = Rect { x: a.0.min(b.0), y: a.1.min(b.1), width: (a.0 - b.0).abs(), height: (a.1 - b.1).abs() };
        let crosses = |stage: &Rect| {
            piece.x < stage.right() && stage.x < piece.right() && piece.y < stage.bottom() && stage.y < piece.bottom()
                || piece.width == 0.0
                    && stage.x < a.0
                    && a.0 < stage.right()
                    && piece.y < stage.bottom()
                    && stage.y < piece.bottom()
                || piece.height == 0.0
                    && stage.y < a.1
                    && a.1 < stage.bottom()
                    && piece.x < stage.right()
                    && stage.x < piece.right()
        };
        assert!(!drawn.stages.iter().any(crosses), "edge {edge:?} runs through a stage");
    }
}

#[test]
fn the_usual_graphs_are_placed_well() {
    for (_, graph, _) in testing::all() {
        check(&graph, &layout(&graph, &sizes(&graph)));
    }
}

#[test]
fn a_chain_of_lanes_is_flush_with_its_left() {
    let graph = testing::fives();
    let drawn = layout(&graph, &sizes(&graph));
    assert!(drawn.lanes.iter().all(|lane| (lane.x - drawn.lanes[0].x).abs() < 2.0), "{:?}", drawn.lanes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_graphs_are_placed_well(seed in any::<u64>(), count in 1..40_usize) {
        let graph = testing::random(seed, count);
        check(&graph, &layout(&graph, &sizes(&graph)));
    }
}

#[test]
fn a_graph_of_hundreds_of_stages_is_no_wait() {
    let graph = testing::random(7, 300);
    let start = std::time::Instant::now();
    check(&graph, &layout(&graph, &sizes(&graph)));
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
