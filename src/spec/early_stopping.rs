//! `trainer.early_stopping`: its declaration, and whether the file has a figure that it can go by.
//! Counting evaluations is the run's.

use pipeline_contract::{Lane, OptionSpec, OptionType, Role};
use serde_json::{Map, Value};

use super::node::{Node, quote};
use super::stages::Entry;
use super::{Best, EarlyStopping};
use crate::diagnostic::Diagnostic;

/// The key in the file.
const KEY: &str = "trainer.early_stopping";

/// The key's declaration.
pub(super) fn key() -> OptionSpec {
    OptionSpec::optional(
        "early_stopping",
        OptionType::Group(vec![
            OptionSpec::new("patience", OptionType::at_least(1), 10, "evaluations without a better one before the run ends"),
            OptionSpec::new(
                "min_delta",
                OptionType::Number { min: 0.0, max: f64::INFINITY },
                0.0,
                "by how much a figure must be better to count as better",
            ),
        ]),
        "ends the run when the metric of checkpoint.best no longer gets better; off by default",
    )
}

/// The checked block; `None` where the file hasn't the key.
pub(super) fn read(trainer: &Map<String, Value>) -> Option<EarlyStopping> {
    let block = trainer.get("early_stopping")?;
    Some(EarlyStopping { patience: block.get("patience")?.as_u64()?, min_delta: block.get("min_delta")?.as_f64()? })
}

/// Checks that there is something to go by: `best`, as the checked block `trainer` chose it.
pub(super) fn check(
    root: &Node,
    trainer: &Map<String, Value>,
    best: Option<&Best>,
    entries: &[Entry],
    problems: &mut Vec<Diagnostic>,
) {
    if read(trainer).is_none() {
        return;
    }
    let spot = root.lookup(KEY).unwrap_or(root);
    let is_off = trainer.get("checkpoint").and_then(|block| block.get("best")) == Some(&Value::Bool(false));
    let evaluators = || entries.iter().filter_map(|entry| Some((entry.id.as_deref()?, entry.kind.as_ref()?)));
    let mut evaluators = evaluators().filter(|(_, kind)| kind.role == Some(Role::Evaluator)).peekable();
    if is_off {
        let problem = spot.error(format!("{} goes by the metric of `trainer.checkpoint.best`, which is false", quote(KEY)));
        problems.push(problem.help("remove `best: false`, or name a metric, such as best: {metric: dice}"));
    } else if evaluators.peek().is_none() && entries.iter().all(|entry| entry.kind.is_some()) {
        let problem = spot.error(format!("{} has no figure to go by: no stage of this file measures anything", quote(KEY)));
        problems.push(problem.help("add an evaluator, or remove the key"));
    } else if let Some(id) = best.and_then(|best| best.of.as_deref())
        // Another lane may be behind, so that the device's would end at an epoch that depends on timing.
        && evaluators.any(|(stage, kind)| stage == id && kind.lane != Lane::Device)
    {
        let problem = spot.error(format!("{} goes by {}, which doesn't run on the device's thread", quote(KEY), quote(id)));
        problems.push(problem.help("name another evaluator in best: {metric, of}, or declare the kind by StageKind::device"));
    }
}
