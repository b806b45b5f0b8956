//! Checks with the graph whether the stages fit together, and turns its positions into places of the file. Stages that couldn't be
//! read are left out without making others look wrong.

use pipeline_contract::{Facts, Registry, StageKind};
use serde_json::Value;

use super::needs::Need;
use super::node::{Spot, quote};
use super::stages::Entry;
use crate::diagnostic::Diagnostic;
use crate::graph::{self, Graph, Place, Problem, Stage};

/// A need that names nothing: no stage has an empty id.
const NO_STAGE: &str = "";

/// The graph of all stages, with what is known of their items; `None` if one couldn't be read or something doesn't fit.
pub(super) fn connect(
    entries: &[Entry],
    needs: &[Vec<Need>],
    facts: &[Vec<Facts>],
    registry: &Registry,
    problems: &mut Vec<Diagnostic>,
) -> Option<Graph> {
    let sound: Vec<usize> = (0..entries.len()).filter(|&at| entries[at].is_sound()).collect();
    let stages = sound.iter().filter_map(|&at| stage(entries, needs, at)).collect();
    let (mut graph, found) = graph::build(stages);
    for problem in found {
        let at = sound[position(problem.place)];
        if is_consequence(&problem, at, entries, needs) {
            continue;
        }
        let spot = spot(problem.place, &entries[at], &needs[at]);
        let help = problem.help.or_else(|| between(problem.place, entries, needs, at, registry));
        problems.push(Diagnostic { help, ..spot.diagnostic(problem.severity, problem.message) });
    }
    if let Some(graph) = &mut graph {
        graph.facts = facts.to_vec();
    }
    graph.filter(|_| sound.len() == entries.len())
}

/// Help where a stage takes what the one that it needs doesn't give: the kinds that make the one of the other.
fn between(place: Place, entries: &[Entry], needs: &[Vec<Need>], at: usize, registry: &Registry) -> Option<String> {
    let Place::Need(_, port) = place else { return None };
    let given = entries[needs[at].get(port)?.stage?].kind.as_ref()?.output?;
    let wanted = *entries[at].kind.as_ref()?.inputs.get(port)?;
    let fits = |kind: &&StageKind| kind.inputs == [given] && kind.output == Some(wanted);
    let names: Vec<String> = registry.kinds().filter(fits).map(|kind| quote(kind.name)).collect();
    match names.as_slice() {
        [] => None,
        names => Some(format!("put a stage of kind {} between the two", names.join(" or "))),
    }
}

fn stage(entries: &[Entry], needs: &[Vec<Need>], at: usize) -> Option<Stage> {
    let entry = &entries[at];
    let kind: StageKind = entry.kind.clone()?;
    let id = |need: &Need| need.stage.and_then(|stage| entries[stage].id.clone().filter(|_| entries[stage].is_sound()));
    Some(Stage {
        id: entry.id.clone()?,
        kind,
        options: entry.options.clone().unwrap_or(Value::Null),
        needs: needs[at].iter().map(|need| id(need).unwrap_or_else(|| NO_STAGE.into())).collect(),
        workers: entry.workers,
        bound: entry.bound,
    })
}

/// True for "nothing consumes it" if the consumer may be a stage that couldn't be read, or that has misspelt its need.
fn is_consequence(problem: &Problem, at: usize, entries: &[Entry], needs: &[Vec<Need>]) -> bool {
    let Place::Id(_) = problem.place else { return false };
    let fed = entries[at].kind.as_ref().is_some_and(|kind| kind.inputs.len() == needs[at].len());
    let asked_for = needs.iter().enumerate().any(|(by, needs)| {
        needs.iter().any(|need| match (need.stage, need.perhaps) {
            (Some(stage), _) => stage == at && !entries[by].is_sound(),
            (None, meant) => meant.is_none_or(|meant| meant == at),
        })
    });
    fed && asked_for
}

fn position(place: Place) -> usize {
    match place {
        Place::Id(at) | Place::Use(at) | Place::Need(at, _) | Place::Workers(at) | Place::Bound(at) => at,
    }
}

fn spot(place: Place, entry: &Entry, needs: &[Need]) -> Spot {
    match place {
        Place::Id(_) => entry.id_spot,
        Place::Use(_) => entry.use_spot,
        Place::Need(_, number) => needs.get(number).map_or(entry.id_spot, |need| need.spot),
        Place::Workers(_) => entry.place("workers"),
        Place::Bound(_) => entry.place("bound"),
    }
}
