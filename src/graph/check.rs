//! What can be wrong with a graph whose edges fit: unused outputs, cycles, lanes that would wait for themselves.

use std::collections::VecDeque;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use pipeline_contract::{Join, Lane as LaneKind};

use super::edge::Edge;
use super::lane::Lane;
use super::problem::{Place, Problem};
use super::stage::Stage;
use super::walk::{ancestors, inputs};

/// Output that no stage takes.
pub fn unconsumed(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    for node in dag.node_indices() {
        let kind = &dag[node].kind;
        let Some(output) = kind.output.filter(|_| !kind.may_end) else { continue };
        let consumed = dag.node_weights().any(|stage| stage.needs.contains(&dag[node].id));
        if !consumed {
            let message = format!("nothing consumes the {} that `{}` outputs", output.name(), dag[node].id);
            problems.push(
                Problem::error(Place::Id(node.index()), message)
                    .help("name it in the `needs` of a stage, or remove this stage"),
            );
        }
    }
}

/// Settings that do nothing for the stage that has them.
pub fn misplaced_settings(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    for node in dag.node_indices() {
        let (stage, at) = (&dag[node], node.index());
        if stage.workers.is_some() && stage.kind.lane != LaneKind::Workers {
            let message = format!("`{}` sees its items in order, one at a time: `workers` does nothing here", stage.kind.name);
            problems.push(
                Problem::error(Place::Workers(at), message).help("remove it; it works on stages such as decode and resize"),
            );
        }
        if stage.bound.is_some() && stage.kind.inputs.is_empty() {
            let message = format!("`{}` is a source: it has no input queue to bound", stage.kind.name);
            problems.push(Problem::error(Place::Bound(at), message).help("put `bound` on the stage that consumes it"));
        }
    }
}

/// Stages that need themselves, directly or not: one problem for each group of them.
pub fn cycles(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    for component in tarjan_scc(dag) {
        let Some(&first) = component.iter().min() else { continue };
        let own_loop = dag.contains_edge(first, first);
        if component.len() < 2 && !own_loop {
            continue;
        }
        let chain = walk_cycle(dag, first, &component);
        let names = chain.iter().map(|&node| dag[node].id.as_str()).collect::<Vec<_>>().join(" -> ");
        problems.push(
            Problem::error(Place::Need(first.index(), 0), format!("the stages form a cycle: {names}"))
                .help("remove one of these from a `needs`"),
        );
    }
}

/// A closed walk from `first` back to itself inside one strongly connected component.
fn walk_cycle(dag: &DiGraph<Stage, Edge>, first: NodeIndex, component: &[NodeIndex]) -> Vec<NodeIndex> {
    let inside = |node: &NodeIndex| component.contains(node);
    let mut previous = vec![None; dag.node_count()];
    let mut queue = VecDeque::from([first]);
    while let Some(node) = queue.pop_front() {
        for next in dag.neighbors(node).filter(inside) {
            if next == first {
                let mut chain = vec![first, node];
                let mut at = node;
                while let Some(before) = previous[at.index()] {
                    chain.push(before);
                    at = before;
                }
                if node == first {
                    chain.pop();
                    return vec![first, first];
                }
                chain.reverse();
                return chain;
            }
            if previous[next.index()].is_none() {
                previous[next.index()] = Some(node);
                queue.push_back(next);
            }
        }
    }
    vec![first]
}

/// All of a device's work runs on one thread, so a chain that leaves the device must not come back to it.
pub fn device_chains(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    let on_device = |node: NodeIndex| dag[node].kind.lane == LaneKind::Device;
    for edge in dag.edge_references() {
        let (from, to) = (edge.source(), edge.target());
        if on_device(from) || !on_device(to) {
            continue;
        }
        if let Some(before) = ancestors(dag, from).into_iter().find(|&node| on_device(node)) {
            let message = format!(
                "`{}` leads back to the device through `{}` after `{}`: the device's only thread would wait for itself",
                dag[to].id, dag[from].id, dag[before].id
            );
            let place = Place::Need(to.index(), edge.weight().port);
            problems.push(
                Problem::error(place, message)
                    .help("put the device's stages one after the other, CPU stages before or after them"),
            );
        }
    }
}

/// What is read after an epoch's end must not come from what the epoch itself reads: it would have to be held whole.
pub fn joins(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    for node in dag.node_indices().filter(|&node| dag[node].kind.join == Join::InTurn) {
        let mut seen: Vec<NodeIndex> = Vec::new();
        for (port, producer) in inputs(dag, node) {
            let mut above = ancestors(dag, producer);
            above.push(producer);
            if let Some(shared) = above.iter().find(|above| seen.contains(above)) {
                let message = format!(
                    "`{}` reads `{}` only when the epoch of its first input is over, but both come from `{}`",
                    dag[node].id, dag[producer].id, dag[*shared].id
                );
                problems.push(
                    Problem::error(Place::Need(node.index(), port), message)
                        .help("give it a separate source; otherwise a whole epoch would wait in memory"),
                );
            }
            seen.extend(above);
        }
    }
}

/// A cache stands for the stages between a source and itself: they must be the head of its lane, and make the same of a sample in each epoch.
pub fn caches(dag: &DiGraph<Stage, Edge>, lanes: &[Lane], problems: &mut Vec<Problem>) {
    for lane in lanes {
        for (at, &node) in lane.stages.iter().enumerate() {
            let Some(from) = dag[node].kind.caches else { continue };
            let before = &lane.stages[..at];
            let id = &dag[node].id;
            let wrong = |message: String, help: &str| Problem::error(Place::Id(node.index()), message).help(help);
            if let Some(&other) = before.iter().find(|&&before| dag[before].kind.caches.is_some()) {
                let message = format!("`{id}` comes after the cache `{}`, which keeps the same samples", dag[other].id);
                problems.push(wrong(message, "remove one of the two"));
            }
            for &above in before {
                let (name, kind) = (&dag[above].id, &dag[above].kind);
                if kind.is_flat_map() || kind.is_random(&dag[above].options) {
                    let message = format!("`{id}` would keep what `{name}` draws anew in each epoch");
                    problems.push(wrong(message, "put the cache before it"));
                }
            }
            let head = before.first().and_then(|&first| inputs(dag, first).first().map(|&(_, producer)| producer));
            if head.is_none_or(|head| dag[head].kind.lane != LaneKind::Source || dag[head].kind.output != Some(from)) {
                let message = format!(
                    "`{id}` must follow the stages whose work it keeps, and these must follow a source of {}",
                    from.name()
                );
                let help = "put it behind `decode` or `resize`, in a chain from the source without other consumers, `bound` or other `workers`";
                problems.push(wrong(message, help));
            }
        }
    }
}

/// A join that wants one input's epoch before the other's, on a lane where another join wants both item by item.
pub fn unservable(dag: &DiGraph<Stage, Edge>, node: NodeIndex) -> Problem {
    let id = &dag[node].id;
    Problem::error(
        Place::Id(node.index()),
        format!("`{id}` reads its inputs one epoch after the other, but a stage beside it reads them item by item"),
    )
    .help("give one of the two a separate source")
}
