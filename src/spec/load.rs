//! Reads a file from text to graph, and gathers what is wrong on the way. Each step has its own file.

use std::collections::HashSet;
use std::path::Path;

use pipeline_contract::{Registry, Severity};

use super::node::{Data, Node, count};
use super::references::Used;
use super::{
    Loaded, Pipeline, best, early_stopping, facts, file, needs, overrides, references, resolved, settings, spelling, stages,
    unread, wiring, yaml,
};
use crate::diagnostic::{Diagnostic, Source};

/// More problems than these are counted, not listed.
const MOST_LISTED: usize = 100;

/// Reads a pipeline file, with `overrides` such as `trainer.num_epochs=3` laid over it.
///
/// Never fails: what is wrong is in the result, all of it at once.
pub fn load(path: &Path, overrides: &[String], registry: &Registry) -> Loaded {
    let name = path.display().to_string();
    match file::read(path) {
        Ok(bytes) => load_bytes(&name, bytes, overrides, registry),
        Err(problem) => unreadable(&name, problem),
    }
}

/// As [`load`], of the bytes of a file that is called `name` in messages.
pub fn load_bytes(name: &str, bytes: Vec<u8>, overrides: &[String], registry: &Registry) -> Loaded {
    match file::text(bytes) {
        Ok(text) => load_text(name, text, overrides, registry),
        Err(problem) => unreadable(name, problem),
    }
}

fn unreadable(name: &str, problem: Diagnostic) -> Loaded {
    Loaded { source: Source::new(name, ""), diagnostics: vec![problem], pipeline: None }
}

/// As [`load`], of a text that is called `name` in messages.
pub fn load_text(name: &str, text: String, overrides: &[String], registry: &Registry) -> Loaded {
    let mut source = Source::new(name, text);
    let mut problems = Vec::new();
    let pipeline = read(&mut source, overrides, registry, &mut problems);
    if pipeline.is_none() && !problems.iter().any(Diagnostic::is_error) {
        let problem = Diagnostic::error(None, "this file can't be run, for an unknown reason");
        problems.push(problem.help("this is a bug of the program, not of the file"));
    }
    let failed = problems.iter().any(Diagnostic::is_error);
    Loaded { source, diagnostics: listed(problems), pipeline: pipeline.filter(|_| !failed) }
}

fn read(source: &mut Source, overrides: &[String], registry: &Registry, problems: &mut Vec<Diagnostic>) -> Option<Pipeline> {
    let mut root = match yaml::parse(source.text(), 0, 0, problems) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    if let Some(problem) = not_a_file(&root) {
        problems.push(problem);
        return None;
    }
    spelling::repair(&mut root, problems);
    overrides::apply(&mut root, overrides, source, problems);
    let mut used = Used::new();
    let root = references::resolve(&root, source, &mut used, problems);
    let mut top = settings::check(&root, source.name(), &mut used, problems);
    let entries = stages::read(&root, registry, &mut used, problems);
    let needs = needs::resolve(&entries, problems);
    let facts = facts::check(&entries, &needs, problems);
    if let Some(top) = &mut top {
        let best = best::choose(&root, &top.trainer, &entries, &facts, problems);
        early_stopping::check(&root, &top.trainer, best.as_ref(), &entries, problems);
        top.settings.checkpoints.best = best;
    }
    let graph = wiring::connect(&entries, &needs, &facts, registry, problems);
    let all_known = entries.iter().all(|entry| entry.kind.is_some());
    unread::check(&root, registry, &used, all_known, problems);
    if top.as_ref().is_some_and(|top| top.settings.strict) {
        problems.iter_mut().for_each(deny);
    }
    let (top, graph) = (top?, graph?);
    let resolved = resolved::value(&top, &entries, &needs);
    Some(Pipeline { name: top.name, settings: top.settings, graph, resolved })
}

/// Makes an error of a warning.
fn deny(problem: &mut Diagnostic) {
    if !problem.is_error() {
        problem.severity = Severity::Error;
        problem.message += " (a warning, which `strict` makes an error)";
    }
}

fn not_a_file(root: &Node) -> Option<Diagnostic> {
    let help = "a pipeline file is a map with the keys name, seed, dataset, trainer and stages";
    match root.data {
        Data::Map(_) => None,
        Data::Null => Some(Diagnostic::error(None, "the file is empty").help(help)),
        _ => Some(root.error(format!("a pipeline file must be a map, found {}", root.describe())).help(help)),
    }
}

/// Each problem once, in the order of the file, the rest counted.
fn listed(mut problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| (problem.span, !problem.is_error()));
    let mut seen = HashSet::new();
    problems.retain(|problem| seen.insert((problem.span, problem.message.clone())));
    if problems.len() > MOST_LISTED {
        let rest = problems.split_off(MOST_LISTED);
        let severity = if rest.iter().any(Diagnostic::is_error) { Severity::Error } else { Severity::Warning };
        let message = format!("and {} more", count(rest.len(), "problem"));
        problems.push(Diagnostic { severity, ..Diagnostic::error(None, message) });
    }
    problems
}
