//! Reports misspelt keys of the file and of stages, and reads them as they were meant, so that one typo makes one problem.
//! `settings` and `stages` report keys that mean nothing. Not for options.

use super::node::{Data, Entry, Node, quote};
use super::stages::STAGE_KEYS;
use super::suggest;
use super::{TOP_KEYS, is_own_key};
use crate::diagnostic::Diagnostic;

/// Renames misspelt keys where the right one isn't given too.
pub(super) fn repair(root: &mut Node, problems: &mut Vec<Diagnostic>) {
    let Data::Map(entries) = &mut root.data else { return };
    rename(entries, &TOP_KEYS, "a pipeline file", problems);
    let stages = entries.iter_mut().find(|entry| entry.key == "stages").map(|entry| &mut entry.value.data);
    if let Some(Data::List(stages)) = stages {
        for stage in stages {
            if let Data::Map(entries) = &mut stage.data {
                rename(entries, &STAGE_KEYS, "a stage", problems);
            }
        }
    }
}

fn rename(entries: &mut [Entry], keys: &[&str], owner: &str, problems: &mut Vec<Diagnostic>) {
    for at in 0..entries.len() {
        let given = &entries[at].key;
        if is_own_key(given) {
            continue;
        }
        let Some(meant) = suggest::nearest(given, keys.iter().copied()).filter(|_| !keys.contains(&given.as_str())) else {
            continue;
        };
        let is_map = matches!(entries[at].value.data, Data::Map(_));
        let fits = is_map == ["dataset", "trainer", "with"].contains(&meant) || ["bound", "needs", "on_error"].contains(&meant);
        if fits && entries.iter().all(|entry| entry.key != meant) {
            let problem = Diagnostic::error(entries[at].key_span, format!("{owner} has no key {}", quote(given)));
            problems.push(problem.help(suggest::did_you_mean(given, meant)));
            meant.clone_into(&mut entries[at].key);
        }
    }
}
