//! Applies `--set KEY=VALUE` to the tree of a file. Later checks decide whether the key means anything.

use super::TOP_KEYS;
use super::node::{Data, Entry, Node, quote};
use super::settings::trainer_keys;
use super::suggest;
use super::yaml;
use crate::diagnostic::{Diagnostic, Source, Span};

/// The name of an override's place in errors.
pub(super) const NAME: &str = "--set";

/// Applies overrides in their order; each problem points into the argument that has it.
pub(super) fn apply(root: &mut Node, overrides: &[String], source: &mut Source, problems: &mut Vec<Diagnostic>) {
    for argument in overrides {
        let text = source.add(NAME, argument);
        if let Err(problem) = apply_one(root, argument, text, problems) {
            problems.push(problem);
        }
    }
}

fn apply_one(root: &mut Node, argument: &str, text: usize, problems: &mut Vec<Diagnostic>) -> Result<(), Diagnostic> {
    let whole = Span { text, start: 0, end: argument.len() };
    let Some((path, value)) = argument.split_once('=') else {
        return Err(Diagnostic::error(whole, "no `=` in this override").help("write KEY=VALUE: --set trainer.num_epochs=10"));
    };
    let value = yaml::parse(value, text, path.len() + 1, problems)?;
    let mut keys = Vec::new();
    let mut start = 0;
    for key in path.split('.') {
        keys.push((key, Span { text, start, end: start + key.len() }));
        start += key.len() + 1;
    }
    if let Some((_, span)) = keys.iter().find(|(key, _)| key.is_empty()) {
        return Err(Diagnostic::error(*span, "an override needs a key").help("write KEY=VALUE: --set trainer.num_epochs=10"));
    }
    let Some((&(first, span), rest)) = keys.split_first() else { return Ok(()) };
    if !TOP_KEYS.contains(&first) {
        let help = suggest::help(first, &TOP_KEYS, "an override starts with one of");
        return Err(Diagnostic::error(span, format!("a pipeline file has no key {}", quote(first))).help(help));
    }
    match (first, rest) {
        ("stages", [(id, span), keys @ ..]) if !keys.is_empty() => set(stage(root, id, *span)?, keys, value),
        ("stages", _) => Err(Diagnostic::error(whole, "the list of stages can't be replaced")
            .help("set one key of one stage: --set stages.ID.with.OPTION=VALUE")),
        _ => set(root, &keys, value),
    }
}

fn stage<'a>(root: &'a mut Node, id: &str, span: Span) -> Result<&'a mut Node, Diagnostic> {
    let stages = entry(root, "stages").map(|entry| &mut entry.value.data);
    let Some(Data::List(stages)) = stages else { return Err(Diagnostic::error(span, "the file has no list of stages")) };
    let id_of = |stage: &Node| match &stage.get("id")?.data {
        Data::Text(text) => Some(text.clone()),
        _ => None,
    };
    let ids: Vec<String> = stages.iter().filter_map(id_of).collect();
    let found = stages.iter_mut().find(|stage| id_of(stage).as_deref() == Some(id));
    found.ok_or_else(|| {
        let names: Vec<&str> = ids.iter().map(String::as_str).collect();
        Diagnostic::error(span, format!("no stage has the id {}", quote(id))).help(suggest::help(id, &names, "the stages are"))
    })
}

/// Sets a key and makes the blocks that it needs; whether they mean anything is checked later. Only `dataset:` and
/// `trainer:` have names of the author's own, so there a block that is missing is one that nothing would read.
fn set(root: &mut Node, keys: &[(&str, Span)], value: Node) -> Result<(), Diagnostic> {
    let Some((&(last, last_span), blocks)) = keys.split_last() else { return Ok(()) };
    let mut block = root;
    for (depth, &(key, span)) in blocks.iter().enumerate() {
        let entries = keys_of(block, key, span)?;
        let missing = !entries.iter().any(|entry| entry.key == key);
        let is_known = || match keys.first() {
            Some(("dataset", _)) => false,
            Some(("trainer", _)) => depth > 1 || trainer_keys().iter().any(|known| known.name == key),
            _ => true,
        };
        if missing && (depth == 0 || is_known()) {
            entries.push(Entry { key: key.into(), key_span: span, value: Node::new(Data::Map(Vec::new()), span) });
        } else if missing {
            let names: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
            let help = suggest::help(key, &names, "its keys are");
            return Err(Diagnostic::error(span, format!("the file has no block {} here", quote(key))).help(help));
        }
        let Some(found) = entries.iter_mut().find(|entry| entry.key == key) else { return Ok(()) };
        if matches!(found.value.data, Data::Null) {
            found.value = Node::new(Data::Map(Vec::new()), found.value.spot.span);
        }
        block = &mut found.value;
    }
    let entries = keys_of(block, last, last_span)?;
    match entries.iter_mut().find(|entry| entry.key == last) {
        Some(entry) => entry.value = value,
        None => entries.push(Entry { key: last.into(), key_span: last_span, value }),
    }
    Ok(())
}

fn entry<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Entry> {
    match &mut node.data {
        Data::Map(entries) => entries.iter_mut().find(|entry| entry.key == key),
        _ => None,
    }
}

/// The keys of a block in which `key` is looked for.
fn keys_of<'a>(block: &'a mut Node, key: &str, span: Span) -> Result<&'a mut Vec<Entry>, Diagnostic> {
    let (what, place) = (block.describe(), block.spot.span);
    match &mut block.data {
        Data::Map(entries) => Ok(entries),
        _ => Err(Diagnostic::error(span, format!("there is no key {} in {what}", quote(key)))
            .related(Some(place), "it is this value")
            .help("set the whole value: --set KEY='{name: value}'")),
    }
}
