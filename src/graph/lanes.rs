//! Puts stages into lanes: chains that run to completion for each item, so that nothing queues where nothing need.

use petgraph::graph::{DiGraph, NodeIndex};
use pipeline_contract::Lane as LaneKind;

use super::edge::Edge;
use super::lane::Lane;
use super::reading::Reading;
use super::stage::Stage;
use super::walk::inputs;

/// Assigns every stage its lane and gives the edges between lanes their bounds.
///
/// A map stage joins the lane of the map stage before it, unless it asks for other workers or for a bounded edge, or its
/// producer has other consumers. All device stages share one lane. Every other stage has a separate lane.
pub(super) fn assign(dag: &mut DiGraph<Stage, Edge>, order: &[NodeIndex]) -> (Vec<Lane>, Vec<usize>) {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut lane_of = vec![usize::MAX; dag.node_count()];
    for &node in order {
        let stage = &dag[node];
        let above = inputs(dag, node).first().map(|&(_, producer)| producer);
        let joined = match stage.kind.lane {
            LaneKind::Device => lanes.iter().position(|lane| lane.kind == LaneKind::Device),
            LaneKind::Workers => {
                above.filter(|&above| follows(dag, &lanes, &lane_of, above, stage)).map(|above| lane_of[above.index()])
            }
            LaneKind::Source | LaneKind::Sequential => None,
        };
        let lane = joined.unwrap_or_else(|| {
            let workers = match stage.kind.lane {
                LaneKind::Workers => {
                    stage.workers.or_else(|| inherited(&lanes, &lane_of, above)).unwrap_or_else(default_workers)
                }
                _ => 0,
            };
            lanes.push(Lane {
                name: String::new(),
                kind: stage.kind.lane,
                workers,
                stages: Vec::new(),
                reading: Reading::default(),
            });
            lanes.len() - 1
        });
        lanes[lane].stages.push(node);
        lane_of[node.index()] = lane;
    }
    for lane in &mut lanes {
        lane.name = match lane.kind {
            LaneKind::Device => "device".into(),
            _ => lane.stages.iter().map(|&node| dag[node].id.as_str()).collect::<Vec<_>>().join("+"),
        };
    }
    for edge in dag.edge_indices() {
        let Some((from, to)) = dag.edge_endpoints(edge) else { continue };
        let between = lane_of[from.index()] != lane_of[to.index()];
        dag[edge].bound = between.then(|| dag[to].bound.unwrap_or_default());
    }
    (lanes, lane_of)
}

/// Whether a map stage runs in the lane of the stage above it.
fn follows(dag: &DiGraph<Stage, Edge>, lanes: &[Lane], lane_of: &[usize], above: NodeIndex, stage: &Stage) -> bool {
    let lane = &lanes[lane_of[above.index()]];
    lane.kind == LaneKind::Workers
        && stage.bound.is_none()
        && stage.workers.is_none_or(|workers| workers == lane.workers)
        && dag.neighbors(above).count() == 1
}

/// The workers of the lane above, so that one `workers:` at the head of a chain serves all of it.
fn inherited(lanes: &[Lane], lane_of: &[usize], above: Option<NodeIndex>) -> Option<usize> {
    let lane = &lanes[lane_of[above?.index()]];
    (lane.kind == LaneKind::Workers).then_some(lane.workers)
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
}
