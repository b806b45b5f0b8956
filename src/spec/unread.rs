//! Keys of `dataset:` and `trainer:` that nothing reads, though the author expects them to do something.

use std::collections::HashSet;

use pipeline_contract::Registry;

use super::node::{Data, Entry, Node, quote};
use super::references::Used;
use super::{characters, is_own_key, settings, suggest};
use crate::diagnostic::{Diagnostic, Span};

/// Warns of every key that nothing reads. One that misspells a key that the file lacks is an error, and on the command line
/// one that misspells any.
///
/// `all_known`: every stage is of a known kind, so that no unknown one might have been the reader.
pub(super) fn check(root: &Node, registry: &Registry, used: &Used, all_known: bool, problems: &mut Vec<Diagnostic>) {
    let known = settings::known_keys(registry);
    let readers = settings::readers(registry);
    let mut leaves = Vec::new();
    for block in ["dataset", "trainer"] {
        if let Some(entry) = root.entry(block) {
            collect(entry.value.entries(), block, &mut leaves);
        }
    }
    let paths: Vec<String> = leaves.iter().map(|(path, _)| path.clone()).collect();
    let repeated = repeated(root, used);
    for (path, entry) in leaves.into_iter().filter(|(path, _)| !is_used(path, used)) {
        if repeated.contains(&start(entry.key_span)) || repeated.contains(&start(entry.value.spot.span)) {
            continue;
        }
        // Beside the right key a wrong one may be intended; one on the command line is meant to be read.
        let set = entry.key_span.text > 0;
        let slip = known.iter().chain(paths.iter().filter(|_| set)).find(|key| {
            let alike = *key != &path && characters::plain(&path) == key.as_str();
            alike || (suggest::is_slip(&path, key) && (set || root.lookup(key).is_none()))
        });
        let problem = Diagnostic::warning(entry.key_span, format!("nothing reads {}", quote(&path)));
        let problem = match slip {
            Some(key) => Diagnostic::error(entry.key_span, format!("nothing reads {}", quote(&path)))
                .help(suggest::did_you_mean(&entry.key, key)),
            None => match readers.iter().find(|reader| reader.key == path) {
                Some(_) if !all_known => continue,
                Some(reader) => {
                    let (kind, option) = (quote(reader.kind), quote(reader.option.name));
                    problem.help(format!("a stage of kind {kind} reads it, where its own {option} isn't given"))
                }
                None => problem.help(help(&path, &known, root)),
            },
        };
        problems.push(problem);
    }
}

fn help(path: &str, known: &[String], root: &Node) -> String {
    match suggest::nearest(path, known.iter().map(String::as_str)) {
        Some(key) if key == path => {
            format!("a stage reads it when one of its options is \"${{{path}}}\"; without one it does nothing")
        }
        Some(key) if root.lookup(key).is_some() => format!("did you mean {}, which is there too?", quote(key)),
        Some(key) => format!("did you mean {}?", quote(key)),
        _ => format!("a stage reads it when one of its options is \"${{{path}}}\"; otherwise remove it"),
    }
}

/// The first byte of a key or value, by which it is known again where `*alias` or `<<` repeats it.
type Start = (usize, usize);

fn start(span: Span) -> Start {
    (span.text, span.start)
}

/// Where the keys and the repeated values stand that something reads: those of all stages, and those used above them. YAML repeats
/// what an anchor marks, so one of them may have been written in another block.
fn repeated(root: &Node, used: &Used) -> HashSet<Start> {
    fn add(node: &Node, found: &mut HashSet<Start>) {
        if node.spot.via.is_some() {
            found.insert(start(node.spot.span));
        }
        if let Data::List(values) = &node.data {
            values.iter().for_each(|value| add(value, found));
        }
        for entry in node.entries() {
            found.insert(start(entry.key_span));
            add(&entry.value, found);
        }
    }
    let mut found = HashSet::new();
    let above = root.entries().iter().filter(|entry| !["dataset", "trainer"].contains(&entry.key.as_str()));
    above.filter(|entry| !is_own_key(&entry.key)).for_each(|entry| add(&entry.value, &mut found));
    for path in used {
        let (above, key) = path.rsplit_once('.').unwrap_or(("", path));
        let above = if above.is_empty() { Some(root) } else { root.lookup(above) };
        if let Some(entry) = above.and_then(|above| above.entry(key)) {
            found.insert(start(entry.key_span));
            add(&entry.value, &mut found);
        }
    }
    found
}

fn collect<'a>(entries: &'a [Entry], above: &str, leaves: &mut Vec<(String, &'a Entry)>) {
    for entry in entries {
        let path = format!("{above}.{}", entry.key);
        match &entry.value.data {
            Data::Map(inner) if !inner.is_empty() => collect(inner, &path, leaves),
            Data::Broken => {}
            _ => leaves.push((path, entry)),
        }
    }
}

/// True when the key, or a block that it is in, is read.
fn is_used(path: &str, used: &Used) -> bool {
    used.contains(path) || path.match_indices('.').any(|(at, _)| used.contains(&path[..at]))
}
