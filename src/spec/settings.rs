//! What the file tells the engine itself: name, seed and some keys of `trainer:`. Not the stages' options.

use std::path::Path;
use std::time::Duration;

use pipeline_contract::{DefaultValue, OptionSpec, OptionType, Registry};
use serde_json::{Map, Value};

use super::best;
use super::early_stopping;
use super::node::{Data, Entry, Node, quote};
use super::on_error;
use super::options::{Checker, Owner, Places};
use super::references::Used;
use super::suggest;
use super::{Checkpoints, OnLeaks, Settings, TOP_KEYS, is_own_key};
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::Patience;

fn minutes() -> OptionType {
    OptionType::Number { min: 0.0, max: 1e6 }
}

/// What a fit may choose.
const FIT: &[&str] = &["micro_batch", "gradient_checkpointing", "mixed_precision"];

/// The keys of `trainer:` that the program itself reads. All others are read by stages or by references.
pub(crate) fn trainer_keys() -> Vec<OptionSpec> {
    vec![
        OptionSpec::required("num_epochs", OptionType::at_least(1), "how many times to go through the data set"),
        OptionSpec::new(
            "host_memory_budget",
            OptionType::Bytes,
            2_u64 << 30,
            "limit of host memory for decoded images, queues and buffers together",
        ),
        OptionSpec::optional(
            "memory_budget",
            OptionType::Bytes,
            "limit of device memory: before the run, the fastest settings that fit are chosen; 0: no limit",
        ),
        OptionSpec::new(
            "fit_may_change",
            // Also nothing.
            OptionType::List { of: Box::new(OptionType::Choice(FIT)), min: 0, max: usize::MAX },
            serde_json::json!(["micro_batch", "gradient_checkpointing"]),
            "what the memory budget may change; the rest is pinned. Only mixed_precision changes results",
        ),
        OptionSpec::new(
            "checkpoint",
            OptionType::Group(vec![
                OptionSpec::new("every_minutes", minutes(), 10, "minutes between checkpoints"),
                OptionSpec::optional(
                    "every_steps",
                    OptionType::at_least(1),
                    "optimizer steps between checkpoints; off by default",
                ),
                OptionSpec::new("keep", OptionType::at_least(0), 2, "number of checkpoints to keep, the newest; 0: take none"),
                best::key(),
            ]),
            serde_json::json!({"every_minutes": 10, "keep": 2, "best": true}),
            "when to save everything that a stopped or killed run needs to resume",
        ),
        early_stopping::key(),
        OptionSpec::new(
            "leaks",
            OptionType::Choice(&["refuse", "warn"]),
            "refuse",
            "what to do where samples are both trained and measured on: refuse the run, or say so and run",
        ),
        OptionSpec::new(
            "stall",
            OptionType::Group(vec![
                OptionSpec::new(
                    "warn_minutes",
                    minutes(),
                    5,
                    "minutes without progress before the run reports which stage works on what",
                ),
                OptionSpec::new("end_minutes", minutes(), 60, "minutes without progress before the run ends; 0: never"),
            ]),
            serde_json::json!({"warn_minutes": 5, "end_minutes": 60}),
            "limits for a run that stalls; longer than the longest micro-batch takes",
        ),
    ]
}

/// The keys at the top of the file that are options of the engine.
pub(crate) fn top_keys() -> Vec<OptionSpec> {
    let seed = OptionType::Integer { min: 0, max: i64::MAX };
    vec![
        OptionSpec::new("seed", seed, 0, "the seed from which all random choices derive"),
        on_error::key(),
        OptionSpec::new(
            "strict",
            OptionType::Bool,
            false,
            "makes every warning an error: of this file, and of what is doubtful in its data",
        ),
    ]
}

/// Keys that no part of the program reads by itself, but that files have and stages refer to.
pub(super) const REFERRED_TO: [&str; 1] = ["trainer.gradient_accumulation_steps"];

/// What the engine and the run's folder need.
pub(super) struct Top {
    pub(super) name: String,
    pub(super) settings: Settings,
    /// The keys of `trainer:` that the program reads, with their defaults.
    pub(super) trainer: Map<String, Value>,
    /// The key `on_error` with its defaults.
    pub(super) on_error: Value,
}

/// Checks everything above the stages; `None` if the engine's settings are wrong.
pub(super) fn check(root: &Node, file: &str, used: &mut Used, problems: &mut Vec<Diagnostic>) -> Option<Top> {
    unknown_keys(root, problems);
    for block in ["dataset", "trainer"] {
        let node = root.get(block).filter(|node| !matches!(node.data, Data::Map(_) | Data::Null | Data::Broken));
        if let Some(node) = node {
            problems.push(
                node.error(format!("{} must be a map, found {}", quote(block), node.describe()))
                    .help("put `key: value` lines under it"),
            );
        }
    }
    let name = name(root, file, problems);
    let mut checker = Checker { root, owner: Owner::Block("trainer"), problems, used, places: Places::new() };
    let trainer = trainer(root, &mut checker);
    checker.owner = Owner::File;
    let top = checker.known(&top_keys(), root.entries(), root.spot.span, "");
    let (trainer, top) = (trainer?, top?);
    if let Some(problem) = ["memory_budget", "host_memory_budget"].into_iter().find_map(|key| without_unit(root, key)) {
        checker.problems.push(problem);
    }
    let number = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_u64);
    let settings = Settings {
        epochs: number(&trainer, "num_epochs")?,
        seed: number(&top, "seed")?,
        host_memory_budget: number(&trainer, "host_memory_budget")?,
        memory_budget: number(&trainer, "memory_budget").filter(|&bytes| bytes > 0),
        fit: trainer
            .get("fit_may_change")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
            .unwrap_or_default(),
        checkpoints: checkpoints(&trainer)?,
        early_stopping: early_stopping::read(&trainer),
        patience: patience(&trainer)?,
        on_error: on_error::read(top.get("on_error")?)?,
        strict: top.get("strict")? == true,
        leaks: if trainer.get("leaks")? == "warn" { OnLeaks::Warn } else { OnLeaks::Refuse },
    };
    Some(Top { name: name?, settings, trainer, on_error: top.get("on_error")?.clone() })
}

/// A budget of less than a MiB is a number whose unit is missing.
fn without_unit(root: &Node, key: &str) -> Option<Diagnostic> {
    let node = root.get("trainer")?.get(key)?;
    match node.data {
        Data::Int(number @ 1..1_048_576) => {
            let problem = node.error(format!("{} is {number} bytes: its unit is missing", quote(&format!("trainer.{key}"))));
            Some(problem.help(format!("write `{number}GiB` or `{number}MiB`")))
        }
        _ => None,
    }
}

/// When checkpoints are taken; `None` where the block is wrong.
fn checkpoints(trainer: &Map<String, Value>) -> Option<Checkpoints> {
    let block = trainer.get("checkpoint")?;
    Some(Checkpoints {
        every_minutes: block.get("every_minutes")?.as_f64()?,
        every_steps: block.get("every_steps").and_then(Value::as_u64),
        keep: block.get("keep")?.as_u64()?,
        // Which metric it goes by is known once the evaluators are.
        best: None,
    })
}

/// How long nothing may move; `None` where the block is wrong.
fn patience(trainer: &Map<String, Value>) -> Option<Patience> {
    let block = trainer.get("stall")?;
    let minutes = |key: &str| block.get(key)?.as_f64().map(|minutes| Duration::from_secs_f64(60.0 * minutes));
    let (warn, end) = (minutes("warn_minutes")?, minutes("end_minutes")?);
    Some(Patience { warn, end: Some(end).filter(|end| !end.is_zero()), ..Patience::default() })
}

fn trainer(root: &Node, checker: &mut Checker<'_>) -> Option<Map<String, Value>> {
    let entry = root.entry("trainer");
    let keys = entry.map_or(&[][..], |entry| entry.value.entries());
    if entry.is_some_and(|entry| !matches!(entry.value.data, Data::Map(_) | Data::Null)) {
        return None;
    }
    for spec in trainer_keys() {
        checker.used.insert(format!("trainer.{}", spec.name));
    }
    // A key that is missing because it is misspelt is reported once, where it stands.
    let misspelt = |spec: &OptionSpec| {
        !keys.iter().any(|key| key.key == spec.name) && keys.iter().any(|key| suggest::is_slip(&key.key, spec.name))
    };
    let (misspelt, specs): (Vec<_>, Vec<_>) = trainer_keys().into_iter().partition(misspelt);
    let at: Option<Span> = entry.map(|entry| entry.key_span);
    let before = checker.problems.len();
    let values = checker.known(&specs, keys, at.unwrap_or(root.spot.span), "");
    if at.is_none() {
        // Without the block there is no place for what it lacks.
        checker.problems[before..].iter_mut().for_each(|problem| problem.span = None);
    }
    // Of a misspelt block only the keys in it would be looked at, and they need not be near any known one.
    for spec in &misspelt {
        let block = |key: &&Entry| suggest::is_slip(&key.key, spec.name) && matches!(key.value.data, Data::Map(_));
        for key in keys.iter().filter(block) {
            let message = format!("nothing reads {}", quote(&format!("trainer.{}", key.key)));
            let help = format!("did you mean {}?", quote(&format!("trainer.{}", spec.name)));
            checker.problems.push(Diagnostic::error(key.key_span, message).help(help));
        }
    }
    values.filter(|_| misspelt.is_empty())
}

fn unknown_keys(root: &Node, problems: &mut Vec<Diagnostic>) {
    for entry in root.entries().iter().filter(|entry| !TOP_KEYS.contains(&entry.key.as_str()) && !is_own_key(&entry.key)) {
        let problem = Diagnostic::error(entry.key_span, format!("a pipeline file has no key {}", quote(&entry.key)));
        problems.push(problem.help(suggest::help(&entry.key, &TOP_KEYS, "its keys are")));
    }
}

/// The run's name: it becomes part of a folder's name.
fn name(root: &Node, file: &str, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let allowed = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let Some(node) = root.get("name") else {
        let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or("pipeline");
        let name: String = stem.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        return Some(name.trim_start_matches('.').to_owned())
            .filter(|name| !name.is_empty())
            .or_else(|| Some("pipeline".into()));
    };
    match &node.data {
        Data::Text(name) if !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(allowed) => {
            Some(name.clone())
        }
        Data::Broken => None,
        _ => {
            let message = format!("`name` must be a word for the run's folder, found {}", node.describe());
            problems
                .push(node.error(message).help("letters, digits, `_`, `-` and `.`, at most 100; it doesn't start with `.`"));
            None
        }
    }
}

/// The dotted keys that some part of the program or some kind reads.
pub(super) fn known_keys(registry: &Registry) -> Vec<String> {
    let own = trainer_keys().into_iter().map(|spec| format!("trainer.{}", spec.name));
    let referred = REFERRED_TO.iter().map(|key| (*key).to_owned());
    let read = readers(registry).into_iter().map(|reader| reader.key.to_owned());
    let mut keys: Vec<String> = own.chain(referred).chain(read).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// An option that falls back to a key of the file.
pub(crate) struct Reader<'a> {
    /// The dotted key.
    pub(crate) key: &'static str,
    /// The kind whose option it is.
    pub(crate) kind: &'static str,
    /// The option.
    pub(crate) option: &'a OptionSpec,
}

/// All options of all kinds that fall back to a key of the file, also those inside of other options.
pub(crate) fn readers(registry: &Registry) -> Vec<Reader<'_>> {
    fn walk<'a>(kind: &'static str, options: &'a [OptionSpec], found: &mut Vec<Reader<'a>>) {
        for option in options {
            if let DefaultValue::Key(key, _) = option.default {
                found.push(Reader { key, kind, option });
            }
            walk_type(kind, &option.ty, found);
        }
    }
    fn walk_type<'a>(kind: &'static str, ty: &'a OptionType, found: &mut Vec<Reader<'a>>) {
        match ty {
            OptionType::Group(options) => walk(kind, options, found),
            OptionType::Variant(variants) => variants.iter().for_each(|variant| walk(kind, &variant.options, found)),
            OptionType::AnyOf(types) => types.iter().for_each(|ty| walk_type(kind, ty, found)),
            OptionType::List { of, .. } | OptionType::Map { of, .. } => walk_type(kind, of, found),
            _ => {}
        }
    }
    let mut found = Vec::new();
    registry.kinds().for_each(|kind| walk(kind.name, &kind.options, &mut found));
    found
}
