//! `trainer.checkpoint.best`: its declaration, and which metric of which evaluator of the file it means.
//! Taking the checkpoint is the run's.

use pipeline_contract::{Direction, Facts, Metric, OptionSpec, OptionType, Role, Severity, fact};
use serde_json::{Map, Value};

use super::Best;
use super::node::{Node, Spot, quote};
use super::stages::Entry;
use super::suggest;
use crate::diagnostic::Diagnostic;

/// The key in the file.
const KEY: &str = "trainer.checkpoint.best";

/// The part of a data set that the best checkpoint is chosen on, unless the file names an evaluator.
const CHOSEN_ON: &str = "validation";

/// The part that only the final figures should come from.
const HELD_OUT: &str = "test";

/// The key's declaration.
pub(super) fn key() -> OptionSpec {
    let metric = OptionSpec::required("metric", OptionType::Text, "a figure of the evaluation, such as iou");
    let direction = OptionSpec::optional(
        "direction",
        OptionType::Choice(Direction::NAMES),
        "which way is better; by default what the evaluator declares",
    );
    let of = OptionSpec::optional(
        "of",
        OptionType::Text,
        "the id of the evaluator whose figure it is; by default the one on the validation part, otherwise the first of the file",
    );
    OptionSpec::new(
        "best",
        OptionType::AnyOf(vec![OptionType::Bool, OptionType::Group(vec![metric, direction, of])]),
        true,
        "also keep a checkpoint of the best evaluation: true: by its first metric (Dice); or by {metric, direction, of}",
    )
}

/// An evaluator of the file.
struct Evaluator<'a> {
    id: &'a str,
    metrics: &'a [Metric],
    /// Which part of the data set it measures, where that is known.
    part: Option<&'a str>,
    spot: Spot,
}

impl<'a> Evaluator<'a> {
    /// The stage, if it is one, with the facts of its inputs.
    fn of(entry: &'a Entry, inputs: &'a [Facts]) -> Option<Self> {
        let kind = entry.kind.as_ref().filter(|kind| kind.role == Some(Role::Evaluator))?;
        let part = inputs.get(1).and_then(|images| images.get(fact::PART)?.value.as_str());
        Some(Self { id: entry.id.as_deref()?, metrics: &kind.metrics, part, spot: entry.use_spot })
    }

    fn metric(&self, name: &str) -> Option<&'a Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

/// The metric that the checked block `trainer` names, with its direction and its evaluator; where it says `true`, the first metric of
/// the evaluator on the validation part, or of the file's first evaluator. `facts` are those of each stage's inputs. `None` if there
/// is none, or if nothing measures it, which is reported.
pub(super) fn choose(
    root: &Node,
    trainer: &Map<String, Value>,
    entries: &[Entry],
    facts: &[Vec<Facts>],
    problems: &mut Vec<Diagnostic>,
) -> Option<Best> {
    let asked = trainer.get("checkpoint")?.get("best")?;
    if *asked == Value::Bool(false) {
        return None;
    }
    let all: Vec<Evaluator<'_>> =
        entries.iter().zip(facts).filter_map(|(entry, inputs)| Evaluator::of(entry, inputs)).collect();
    let text = |key: &str| asked.get(key).and_then(Value::as_str);
    let (name, of) = (text("metric"), text("of"));
    let mut report = |problem: Diagnostic| {
        // A stage of an unknown kind, which is reported, might have measured it.
        if entries.iter().all(|entry| entry.kind.is_some()) {
            problems.push(problem);
        }
        None
    };
    let named: Vec<&Evaluator<'_>> = all.iter().filter(|evaluator| of.is_none_or(|of| evaluator.id == of)).collect();
    if let Some(of) = of.filter(|_| named.is_empty()) {
        return report(no_evaluator(root, of, &all));
    }
    let measures =
        |evaluator: &&&Evaluator<'_>| name.map_or(!evaluator.metrics.is_empty(), |name| evaluator.metric(name).is_some());
    let able = || named.iter().filter(measures);
    let chosen = able().find(|evaluator| evaluator.part == Some(CHOSEN_ON)).or_else(|| able().next());
    let metric = chosen.and_then(|evaluator| name.map_or(evaluator.metrics.first(), |name| evaluator.metric(name)));
    let (Some(evaluator), Some(metric)) = (chosen, metric) else {
        return name.and_then(|name| report(unmeasured(root, name, &named)));
    };
    if evaluator.part == Some(HELD_OUT) && of.is_none() {
        problems.push(chosen_on_the_test_part(evaluator, metric));
    }
    let direction = text("direction").and_then(Direction::named).unwrap_or(metric.direction);
    Some(Best { metric: metric.name.to_owned(), direction, of: Some(evaluator.id.to_owned()) })
}

/// The figure of a checkpoint that was chosen by it is the best of many, so it is better than the network.
fn chosen_on_the_test_part(evaluator: &Evaluator<'_>, metric: &Metric) -> Diagnostic {
    let (metric, id) = (metric.name, evaluator.id);
    evaluator
        .spot
        .diagnostic(Severity::Warning, "the best checkpoint is chosen on the test part: its figure is too good".to_owned())
        .help(format!(
            "give the file a validation part, with an evaluator of its own; or say that you want this: best: {{metric: {metric}, of: {id}}}"
        ))
}

fn no_evaluator(root: &Node, of: &str, all: &[Evaluator<'_>]) -> Diagnostic {
    let key = format!("{KEY}.of");
    let names: Vec<&str> = all.iter().map(|evaluator| evaluator.id).collect();
    let problem =
        root.lookup(&key).unwrap_or(root).error(format!("{} names {}, which is no evaluator", quote(&key), quote(of)));
    match names.is_empty() {
        true => problem.help("add an evaluator, or remove the key"),
        false => problem.help(suggest::help(of, &names, "the evaluators are")),
    }
}

fn unmeasured(root: &Node, name: &str, evaluators: &[&Evaluator<'_>]) -> Diagnostic {
    let key = format!("{KEY}.metric");
    let spot = root.lookup(&key).unwrap_or(root);
    let mut names: Vec<&str> = Vec::new();
    for metric in evaluators.iter().flat_map(|evaluator| evaluator.metrics) {
        if !names.contains(&metric.name) {
            names.push(metric.name);
        }
    }
    if names.is_empty() {
        return spot
            .error(format!("{} names {}, but no stage of this file measures anything", quote(&key), quote(name)))
            .help("add an evaluator, or remove the key");
    }
    spot.error(format!("{} must be a metric of the evaluation, found {}", quote(&key), quote(name))).help(
        match suggest::nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {}? the evaluation gives {}", quote(near), names.join(", ")),
            None => format!("the evaluation gives {}", names.join(", ")),
        },
    )
}
