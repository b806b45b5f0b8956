//! Makes a checked graph of a list of stages, and reports everything that keeps it from being one.

use std::collections::BTreeSet;

use petgraph::Direction;
use petgraph::algo::toposort;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;
use pipeline_contract::PortType;

use super::dag::Graph;
use super::edge::Edge;
use super::problem::{Place, Problem};
use super::reading::reading;
use super::stage::Stage;
use super::{check, lanes};

/// Builds the graph of stages whose ids are unique. A need that names no stage is passed over: the file's reader has
/// reported it, with the nearest id.
///
/// Returns the graph, unless a problem of severity error was found, and all problems.
pub fn build(stages: Vec<Stage>) -> (Option<Graph>, Vec<Problem>) {
    let mut dag = DiGraph::new();
    let nodes: Vec<NodeIndex> = stages.into_iter().map(|stage| dag.add_node(stage)).collect();
    let mut problems = Vec::new();
    connect(&mut dag, &nodes, &mut problems);
    check::unconsumed(&dag, &mut problems);
    check::misplaced_settings(&dag, &mut problems);
    check::cycles(&dag, &mut problems);
    if problems.is_empty() {
        check::device_chains(&dag, &mut problems);
        check::joins(&dag, &mut problems);
    }
    if !problems.is_empty() {
        return (None, problems);
    }
    let order = file_order(&dag);
    let (mut lanes, lane_of) = lanes::assign(&mut dag, &order);
    check::caches(&dag, &lanes, &mut problems);
    for lane in &mut lanes {
        match reading(&dag, &lane.stages) {
            Ok(reading) => lane.reading = reading,
            Err(node) => problems.push(check::unservable(&dag, node)),
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
        (0, _) => {
            Problem::error(Place::Need(at, 0), format!("`{kind}` is a source and takes no input")).help("remove its `needs`")
        }
        (1, 0) => Problem::error(
            Place::Id(at),
            format!("`{}` needs a stage that outputs {ports}, and there is none above it", stage.id),
        )
        .help("put a source first, or write `needs: ID`"),
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
        None => Problem::error(place, format!("`{}` is the end of a chain and has no output for `{}`", producer.id, stage.id))
            .help("name another stage in `needs`"),
        Some(given) => Problem::error(
            place,
            format!("`{}` outputs {}, but `{}` takes {}", producer.id, given.name(), stage.id, wanted.name()),
        ),
    }
}

/// A topological order that keeps the file's order where the edges allow.
fn file_order(dag: &DiGraph<Stage, Edge>) -> Vec<NodeIndex> {
    debug_assert!(toposort(dag, None).is_ok());
    let mut waiting: Vec<usize> =
        dag.node_indices().map(|node| dag.edges_directed(node, Direction::Incoming).count()).collect();
    let mut ready: BTreeSet<NodeIndex> = dag.node_indices().filter(|node| waiting[node.index()] == 0).collect();
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
