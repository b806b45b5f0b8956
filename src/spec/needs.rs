//! Which stage feeds which: the ids in `needs`, or the stage above. `wiring` checks whether that makes a graph.

use super::node::{Data, Node, Spot, quote};
use super::stages::Entry;
use super::suggest;
use crate::diagnostic::Diagnostic;

/// One thing that a stage needs.
#[derive(Debug, Clone)]
pub(super) struct Need {
    /// The position of the stage that is needed; nothing where the file names none.
    pub(super) stage: Option<usize>,
    /// The position of the stage that was probably meant, where `stage` is nothing.
    pub(super) perhaps: Option<usize>,
    /// Where it is said: an entry of `needs`, or the id of a stage that follows the one above it.
    pub(super) spot: Spot,
}

/// What each stage needs, by position.
pub(super) fn resolve(entries: &[Entry], problems: &mut Vec<Diagnostic>) -> Vec<Vec<Need>> {
    (0..entries.len()).map(|at| needs_of(entries, at, problems)).collect()
}

fn needs_of(entries: &[Entry], at: usize, problems: &mut Vec<Diagnostic>) -> Vec<Need> {
    let entry = &entries[at];
    match entry.needs.as_ref().map(|node| (&node.data, node)) {
        None | Some((Data::Null, _)) => {
            let is_source = entry.kind.as_ref().is_some_and(|kind| kind.inputs.is_empty());
            let above = at.checked_sub(1).filter(|_| !is_source);
            above.map(|above| Need { stage: Some(above), perhaps: None, spot: entry.id_spot }).into_iter().collect()
        }
        Some((Data::List(ids), _)) => ids.iter().map(|id| need(entries, at, id, problems)).collect(),
        Some((_, id)) => vec![need(entries, at, id, problems)],
    }
}

fn need(entries: &[Entry], at: usize, node: &Node, problems: &mut Vec<Diagnostic>) -> Need {
    let nothing = Need { stage: None, perhaps: None, spot: node.spot };
    let Data::Text(id) = &node.data else {
        if !node.is_broken() {
            problems.push(
                node.error(format!("`needs` takes the ids of stages, found {}", node.describe()))
                    .help("needs: files, or needs: [a, b]"),
            );
        }
        return nothing;
    };
    let position = |id: &str| entries.iter().position(|entry| entry.id.as_deref() == Some(id));
    match position(id) {
        Some(stage) if stage == at => {
            problems.push(
                node.error(format!("{} needs itself", quote(id)))
                    .help("name the stage that feeds it, or leave `needs` out to follow the one above"),
            );
            Need { perhaps: at.checked_sub(1), ..nothing }
        }
        Some(stage) => Need { stage: Some(stage), ..nothing },
        None => {
            let ids: Vec<&str> = entries.iter().filter_map(|entry| entry.id.as_deref()).collect();
            let help = suggest::help(id, &ids, "the stages are");
            problems.push(node.error(format!("no stage has the id {}", quote(id))).help(help));
            Need { perhaps: suggest::nearest(id, ids).and_then(position), ..nothing }
        }
    }
}
