//! Hands what is known of the items (their size, their batch) from stage to stage, and lets each kind check it. Stages whose
//! inputs aren't known for sure are skipped.

use pipeline_contract::{Checked, Facts, Finding, Lane, Place, Role, fact};

use super::needs::Need;
use super::node::{Spot, quote};
use super::stages::Entry;
use crate::diagnostic::Diagnostic;

/// For each stage and input port what is known of its items; nothing at stages that couldn't be checked.
///
/// Follows the needs, so that it also goes through the sound part of a file whose graph isn't.
pub(super) fn check(entries: &[Entry], needs: &[Vec<Need>], problems: &mut Vec<Diagnostic>) -> Vec<Vec<Facts>> {
    let mut inputs: Vec<Vec<Facts>> = vec![Vec::new(); entries.len()];
    let mut outputs: Vec<Option<Facts>> = vec![None; entries.len()];
    let measured: Vec<Option<Measured>> = (0..entries.len()).map(|at| evaluated(entries, needs, at)).collect();
    let mut waiting: Vec<usize> = (0..entries.len()).filter(|&at| fits(entries, needs, at)).collect();
    loop {
        let known = |at: &usize| needs[*at].iter().all(|need| need.stage.is_some_and(|stage| outputs[stage].is_some()));
        let (ready, rest): (Vec<usize>, Vec<usize>) = waiting.into_iter().partition(known);
        if ready.is_empty() {
            return inputs;
        }
        for at in ready {
            inputs[at] = needs[at].iter().filter_map(|need| outputs[need.stage?].clone()).collect();
            outputs[at] = check_one(entries, at, &inputs[at], problems);
            if let (Some(facts), true) = (&mut outputs[at], needs[at].is_empty()) {
                if let Some(measured) = &measured[at] {
                    facts.set(fact::EVALUATED, measured.every, "");
                    if measured.field_of_view {
                        facts.set(fact::FIELD_OF_VIEW, 1, "");
                    }
                }
                if let Some(overlays) = predicted(entries, needs, at) {
                    facts.set(fact::PREDICTED, overlays, "");
                }
            }
        }
        waiting = rest;
    }
}

/// What evaluators do with a stage's items.
struct Measured {
    /// After how many epochs they are measured: 1 where anything else takes them too.
    every: u64,
    /// Whether one of the evaluators scores the field of view alone. True of a kind without this option.
    field_of_view: bool,
}

/// How a stage's items are measured, where an evaluator takes them, directly or by way of others.
fn evaluated(entries: &[Entry], needs: &[Vec<Need>], at: usize) -> Option<Measured> {
    let (mut rhythms, mut seen, mut next) = (Vec::new(), vec![false; entries.len()], vec![at]);
    let (mut elsewhere, mut field_of_view) = (false, false);
    while let Some(from) = next.pop() {
        if std::mem::replace(&mut seen[from], true) {
            continue;
        }
        let mut consumed = false;
        for (by, needs) in needs.iter().enumerate() {
            for (port, _) in needs.iter().enumerate().filter(|(_, need)| need.stage == Some(from)) {
                consumed = true;
                let Some(kind) = &entries[by].kind else { continue };
                match (kind.lane, kind.role) {
                    (Lane::Device, Some(Role::Evaluator)) if port + 1 == kind.inputs.len() => {
                        let options = entries[by].options.as_ref();
                        rhythms.push(options.and_then(|options| options.get("every")?.as_u64()).unwrap_or(1));
                        field_of_view |= options.and_then(|options| options.get("field_of_view")?.as_bool()).unwrap_or(true);
                    }
                    (Lane::Device, _) => elsewhere = true,
                    _ => next.push(by),
                }
            }
        }
        elsewhere |= !consumed;
    }
    let (&first, rest) = rhythms.split_first()?;
    let every = if !elsewhere && rest.iter().all(|&every| every == first) { first } else { 1 };
    Some(Measured { every, field_of_view })
}

/// Whether a predictor that needs the photographs at their own size takes a stage's items, directly or by way of others; `None` where no predictor takes them.
fn predicted(entries: &[Entry], needs: &[Vec<Need>], at: usize) -> Option<bool> {
    let (mut found, mut seen, mut next) = (None, vec![false; entries.len()], vec![at]);
    while let Some(from) = next.pop() {
        if std::mem::replace(&mut seen[from], true) {
            continue;
        }
        let by = (0..entries.len()).filter(|&by| needs[by].iter().any(|need| need.stage == Some(from)));
        for by in by {
            if entries[by].kind.as_ref().is_some_and(|kind| kind.role == Some(Role::Predictor)) {
                let set = |option: &str| entries[by].options.as_ref().and_then(|options| options.get(option)?.as_bool());
                let needs = set("overlays").unwrap_or(true) || set("field_of_view").unwrap_or(false);
                found = Some(found.unwrap_or(false) || needs);
            }
            next.push(by);
        }
    }
    found
}

/// True when the stage's options fit and its inputs are what its ports take.
fn fits(entries: &[Entry], needs: &[Vec<Need>], at: usize) -> bool {
    let Entry { kind: Some(kind), options: Some(_), .. } = &entries[at] else { return false };
    let given = |need: &Need| entries[need.stage?].kind.as_ref()?.output;
    kind.inputs.len() == needs[at].len()
        && kind.inputs.iter().zip(&needs[at]).all(|(wanted, need)| given(need) == Some(*wanted))
}

fn check_one(entries: &[Entry], at: usize, inputs: &[Facts], problems: &mut Vec<Diagnostic>) -> Option<Facts> {
    let Entry { kind: Some(kind), options: Some(options), .. } = &entries[at] else { return None };
    let checked = match kind.run_check(options, inputs) {
        Ok(checked) => checked,
        Err(error) => {
            let message = format!("the kind {} can't check its own options: {error}", quote(kind.name));
            problems.push(entries[at].use_spot.error(message).help("this is a bug of the kind, not of the file"));
            return None;
        }
    };
    let Checked { mut facts, findings } = checked;
    let failed = findings.iter().any(|finding| finding.severity == pipeline_contract::Severity::Error);
    problems.extend(findings.into_iter().map(|finding| place(finding, entries, at, inputs)));
    facts.attribute(entries[at].id.as_deref().unwrap_or_default());
    // What follows from a wrong option would be reported again by every stage below.
    (!failed).then_some(facts)
}

fn place(finding: Finding, entries: &[Entry], at: usize, inputs: &[Facts]) -> Diagnostic {
    let entry = &entries[at];
    let (spot, settled_elsewhere) = match &finding.place {
        Place::Stage => (entry.use_spot, false),
        Place::Option(path) => (entry.place(path), false),
        Place::Fact { input, name } => {
            fact_spot(entries, inputs, *input, name).map_or((entry.use_spot, false), |spot| (spot, true))
        }
    };
    let mut diagnostic = spot.diagnostic(finding.severity, finding.message);
    if settled_elsewhere && spot.via.is_none() {
        diagnostic = diagnostic.related(Some(entry.use_spot.site()), "checked here");
    }
    diagnostic.help = finding.help;
    diagnostic
}

/// Where the option stands that settled a fact.
fn fact_spot(entries: &[Entry], inputs: &[Facts], input: usize, name: &str) -> Option<Spot> {
    let fact = inputs.get(input)?.get(name)?;
    let origin = entries.iter().find(|entry| entry.id.as_deref() == Some(fact.stage.as_str()))?;
    Some(origin.place(&fact.option))
}
