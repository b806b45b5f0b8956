//! Makes a checked graph of a list of stages, and reports everything that keeps it from being one.

use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};
use pipeline_contract::{Join, Lane as LaneKind, PortType};

use super::reading::reading;
use super::{Edge, Graph, Place, Problem, Stage, lanes};

/// Builds the graph of stages whose ids are unique. A need that names no stage is passed over: the file's reader has
/// reported it, with the nearest id.
///
/// Returns the graph, unless a problem of severity error was found, and all problems.
pub fn build(stages: Vec<Stage>) -> (Option<Graph>, Vec<Problem>) {
    let mut dag = DiGraph::new();
    let nodes: Vec<NodeIndex> = stages.into_iter().map(|stage| dag.add_node(stage)).collect();
    let mut problems = Vec::new();
    connect(&mut dag, &nodes, &mut problems);
    unconsumed(&dag, &mut problems);
    misplaced_settings(&dag, &mut problems);
    cycles(&dag, &mut problems);
    if problems.is_empty() {
        device_chains(&dag, &mut problems);
        joins(&dag, &mut problems);
    }
    if !problems.is_empty() {
        return (None, problems);
    }
    let order = file_order(&dag);
    let (mut lanes, lane_of) = lanes::assign(&mut dag, &order);
    for lane in &mut lanes {
        match reading(&dag, &lane.stages) {
            Ok(reading) => lane.reading = reading,
            Err(node) => problems.push(unservable(&dag, node)),
        }
    }
    if !problems.is_empty() {
        return (None, problems);
    }
    let facts = vec![Vec::new(); dag.node_count()];
    (Some(Graph { dag, order, lanes, lane_of, facts }), problems)
}

/// Adds an edge for each need, and checks how many there are and that the port types fit.
fn connect(dag: &mut DiGraph<Stage, Edge>, nodes: &[NodeIndex], problems: &mut Vec<Problem>) {
    for (at, &node) in nodes.iter().enumerate() {
        let needs = dag[node].needs.clone();
        let inputs = dag[node].kind.inputs.clone();
        if needs.len() != inputs.len() {
            problems.push(arity(at, &dag[node], &needs, &inputs));
        }
        for (port, need) in needs.iter().enumerate() {
            let Some(&producer) = nodes.iter().find(|&&producer| dag[producer].id == *need) else { continue };
            let Some(&wanted) = inputs.get(port) else { continue };
            match dag[producer].kind.output {
                Some(given) if given == wanted => {
                    dag.add_edge(producer, node, Edge { port, ty: given, bound: None });
                }
                given => {
                    problems.push(mismatch(at, port, &dag[node], &dag[producer], given, wanted));
                    // The edge stays, so that the producer doesn't count as unconsumed and cycles are seen.
                    dag.add_edge(producer, node, Edge { port, ty: wanted, bound: None });
                }
            }
        }
    }
}

fn arity(at: usize, stage: &Stage, needs: &[String], inputs: &[PortType]) -> Problem {
    let kind = stage.kind.name;
    let ports = inputs.iter().map(PortType::name).collect::<Vec<_>>().join(", ");
    match (inputs.len(), needs.len()) {
        (0, _) => Problem::error(Place::Need(at, 0), format!("`{kind}` is a source and takes no input"))
            .help("remove its `needs`; sources run ahead of their consumers by the edges' bounds"),
        (1, 0) => {
            Problem::error(Place::Id(at), format!("`{}` needs a stage that gives {ports}, and none stands above it", stage.id))
                .help("put a source first, or say `needs: ID`")
        }
        (wanted, given) if given > wanted => Problem::error(
            Place::Need(at, wanted),
            format!("`{kind}` takes {}, but `{}` names {given}", count(wanted), stage.id),
        )
        .help(format!("its input ports are: {ports}")),
        (wanted, given) => Problem::error(
            Place::Id(at),
            format!(
                "`{kind}` takes {}, but `{}` has {}",
                count(wanted),
                stage.id,
                if given == 0 { "none".into() } else { given.to_string() }
            ),
        )
        .help(format!("name them in the order of its input ports ({ports}): `needs: [A, B]`")),
    }
}

fn count(inputs: usize) -> String {
    if inputs == 1 { "one input".into() } else { format!("{inputs} inputs") }
}

fn mismatch(at: usize, port: usize, stage: &Stage, producer: &Stage, given: Option<PortType>, wanted: PortType) -> Problem {
    let place = Place::Need(at, port);
    match given {
        None => Problem::error(place, format!("`{}` ends its chain and gives nothing to `{}`", producer.id, stage.id))
            .help("name another stage in `needs`"),
        Some(given) => Problem::error(
            place,
            format!("`{}` gives {}, but `{}` takes {}", producer.id, given.name(), stage.id, wanted.name()),
        ),
    }
}

fn unconsumed(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    for node in dag.node_indices() {
        let kind = &dag[node].kind;
        let Some(output) = kind.output.filter(|_| !kind.may_end) else { continue };
        let consumed = dag.node_weights().any(|stage| stage.needs.contains(&dag[node].id));
        if !consumed {
            let message = format!("nobody consumes the {} that `{}` gives", output.name(), dag[node].id);
            problems.push(
                Problem::error(Place::Id(node.index()), message).help("let a stage name it in `needs`, or remove this stage"),
            );
        }
    }
}

fn misplaced_settings(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    for node in dag.node_indices() {
        let (stage, at) = (&dag[node], node.index());
        if stage.workers.is_some() && stage.kind.lane != LaneKind::Workers {
            let message = format!("`{}` sees its items in order, one at a time: `workers` does nothing here", stage.kind.name);
            problems
                .push(Problem::error(Place::Workers(at), message).help("remove it; stages such as decode and resize take it"));
        }
        if stage.bound.is_some() && stage.kind.inputs.is_empty() {
            let message = format!("`{}` is a source: there is no edge into it to bound", stage.kind.name);
            problems.push(Problem::error(Place::Bound(at), message).help("put `bound` on the stage that consumes it"));
        }
    }
}

fn cycles(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
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
                .help("items flow one way: remove one of these from a `needs`"),
        );
    }
}

/// A closed walk from `first` back to itself inside one strongly connected component.
fn walk_cycle(dag: &DiGraph<Stage, Edge>, first: NodeIndex, component: &[NodeIndex]) -> Vec<NodeIndex> {
    let inside = |node: &NodeIndex| component.contains(node);
    let mut previous = vec![None; dag.node_count()];
    let mut queue = std::collections::VecDeque::from([first]);
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
fn device_chains(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
    let on_device = |node: NodeIndex| dag[node].kind.lane == LaneKind::Device;
    for edge in dag.edge_references() {
        let (from, to) = (edge.source(), edge.target());
        if on_device(from) || !on_device(to) {
            continue;
        }
        if let Some(before) = ancestors(dag, from).into_iter().find(|&node| on_device(node)) {
            let message = format!(
                "`{}` comes back to the device by way of `{}` after `{}`: the device's one thread would wait for itself",
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
fn joins(dag: &DiGraph<Stage, Edge>, problems: &mut Vec<Problem>) {
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
                        .help("give it a source of its own; otherwise a whole epoch would wait in memory"),
                );
            }
            seen.extend(above);
        }
    }
}

/// A join that wants one input's epoch before the other's, on a lane where another join wants both item by item.
fn unservable(dag: &DiGraph<Stage, Edge>, node: NodeIndex) -> Problem {
    let id = &dag[node].id;
    Problem::error(
        Place::Id(node.index()),
        format!("`{id}` reads its inputs one epoch after the other, but a stage beside it reads them item by item"),
    )
    .help("give one of the two a source of its own")
}

/// The producers of a stage, in the order of its ports.
pub(super) fn inputs(dag: &DiGraph<Stage, Edge>, node: NodeIndex) -> Vec<(usize, NodeIndex)> {
    let mut inputs: Vec<_> =
        dag.edges_directed(node, petgraph::Direction::Incoming).map(|edge| (edge.weight().port, edge.source())).collect();
    inputs.sort_unstable();
    inputs
}

/// Everything that a node needs, directly or not; without the node.
pub(super) fn ancestors(dag: &DiGraph<Stage, Edge>, node: NodeIndex) -> Vec<NodeIndex> {
    let mut found = Vec::new();
    let reversed = Reversed(dag);
    let mut search = Dfs::new(reversed, node);
    while let Some(next) = search.next(reversed) {
        if next != node {
            found.push(next);
        }
    }
    found
}

/// A topological order that keeps the file's order where the edges allow.
fn file_order(dag: &DiGraph<Stage, Edge>) -> Vec<NodeIndex> {
    debug_assert!(toposort(dag, None).is_ok());
    let mut waiting: Vec<usize> =
        dag.node_indices().map(|node| dag.edges_directed(node, petgraph::Direction::Incoming).count()).collect();
    let mut ready: std::collections::BTreeSet<NodeIndex> =
        dag.node_indices().filter(|node| waiting[node.index()] == 0).collect();
    let mut order = Vec::with_capacity(dag.node_count());
    while let Some(node) = ready.pop_first() {
        order.push(node);
        for edge in dag.edges(node) {
            let left = &mut waiting[edge.target().index()];
            *left -= 1;
            if *left == 0 {
                ready.insert(edge.target());
            }
        }
    }
    order
}
