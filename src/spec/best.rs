//! `trainer.checkpoint.best`: its declaration, and which metric of the file's evaluators it means.
//! Taking the checkpoint is the run's.

use pipeline_contract::{Direction, Metric, OptionSpec, OptionType, Role};
use serde_json::{Map, Value};

use super::Best;
use super::node::{Node, quote};
use super::stages::Entry;
use super::suggest;
use crate::diagnostic::Diagnostic;

/// The key's declaration.
pub(super) fn key() -> OptionSpec {
    let metric = OptionSpec::required("metric", OptionType::Text, "a figure of the evaluation, such as iou");
    let direction = OptionSpec::optional(
        "direction",
        OptionType::Choice(Direction::NAMES),
        "which way is better; by default what the evaluator declares",
    );
    OptionSpec::new(
        "best",
        OptionType::AnyOf(vec![OptionType::Bool, OptionType::Group(vec![metric, direction])]),
        true,
        "also keep a checkpoint of the best evaluation: true: by its first metric (Dice); or by {metric, direction}",
    )
}

/// The metric that the checked block `trainer` names, with its direction; the first one that the evaluators give where it says `true`.
/// `None` if there is none, or if nothing measures it, which is reported.
pub(super) fn choose(
    root: &Node,
    trainer: &Map<String, Value>,
    entries: &[Entry],
    problems: &mut Vec<Diagnostic>,
) -> Option<Best> {
    let asked = trainer.get("checkpoint")?.get("best")?;
    let kinds = entries.iter().filter_map(|entry| entry.kind.as_ref());
    let mut metrics: Vec<&Metric> = Vec::new();
    for metric in kinds.filter(|kind| kind.role == Some(Role::Evaluator)).flat_map(|kind| &kind.metrics) {
        if metrics.iter().all(|known| known.name != metric.name) {
            metrics.push(metric);
        }
    }
    let name = match asked {
        Value::Bool(true) => metrics.first()?.name,
        Value::Bool(false) => return None,
        named => named.get("metric")?.as_str()?,
    };
    let given = asked.get("direction").and_then(Value::as_str).and_then(Direction::named);
    match metrics.iter().find(|metric| metric.name == name) {
        Some(metric) => Some(Best { metric: name.to_owned(), direction: given.unwrap_or(metric.direction) }),
        // A stage of an unknown kind, which is reported, might have measured it.
        None if entries.iter().any(|entry| entry.kind.is_none()) => None,
        None => {
            problems.push(unmeasured(root, name, &metrics));
            None
        }
    }
}

fn unmeasured(root: &Node, name: &str, metrics: &[&Metric]) -> Diagnostic {
    const KEY: &str = "trainer.checkpoint.best.metric";
    let spot = root.lookup(KEY).unwrap_or(root);
    if metrics.is_empty() {
        return spot
            .error(format!("{} names {}, but no stage of this file measures anything", quote(KEY), quote(name)))
            .help("add an evaluator, or remove the key");
    }
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name).collect();
    spot.error(format!("{} must be a metric of the evaluation, found {}", quote(KEY), quote(name))).help(
        match suggest::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {}? the evaluation gives {}", quote(near), names.join(", ")),
            None => format!("the evaluation gives {}", names.join(", ")),
        },
    )
}
