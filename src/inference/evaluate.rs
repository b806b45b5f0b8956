//! Measures trained models: on a file's evaluation, or on any photographs with masks.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use petgraph::graph::NodeIndex;
use petgraph::visit::{Dfs, Reversed};
use pipeline_contract::events::{EvalEvent, ImageEvent};
use pipeline_contract::{End, Registry, Result, Role, StageError};
use serde_json::{Map, Value, json};

use super::heard::{Heard, options};
use super::predict::checked;
use super::recipe::{Choices, Recipe, escaped};
use crate::engine::{self, Control, SkipLedger, Skipped};
use crate::graph::Graph;
use crate::spec::Pipeline;

/// On what models are measured.
#[derive(Debug, Clone)]
pub enum Wanted<'a> {
    /// As an evaluation of this file does it; of several the one with this id, or else that of the test part.
    File(&'a Pipeline, Option<&'a str>),
    /// On photographs and masks that these patterns join, as `image_pairs` takes them.
    Pairs {
        /// The photographs' pattern.
        images: &'a str,
        /// The masks' pattern.
        masks: &'a str,
        /// The pattern of masks of the field of view.
        field_of_view: Option<&'a str>,
    },
}

/// The figures of an evaluation.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// Of all images.
    pub eval: EvalEvent,
    /// Of each image, the worst first.
    pub images: Vec<ImageEvent>,
    /// Images that couldn't be read.
    pub broken: Vec<Skipped>,
    /// Whether all were measured.
    pub end: End,
}

impl Evaluated {
    /// As JSON: the metrics by their names, and a list `images` with the same names.
    pub fn to_json(&self) -> Value {
        let EvalEvent { metrics, classes, intervals, at, threshold, .. } = &self.eval;
        let mut all = Map::new();
        all.extend(metrics.iter().map(|(name, value)| (name.to_owned(), json!(value))));
        all.insert("intervals".to_owned(), json!(intervals));
        if !classes.is_empty() {
            all.insert("classes".to_owned(), json!(classes));
        }
        all.insert("at".to_owned(), json!(at));
        all.insert("threshold".to_owned(), json!(threshold));
        let image = |image: &ImageEvent| {
            let mut fields = Map::from_iter([("id".to_owned(), json!(image.sample))]);
            fields.extend(image.metrics.iter().map(|(name, value)| (name.to_owned(), json!(value))));
            if !image.classes.is_empty() {
                fields.insert("classes".to_owned(), json!(image.classes));
            }
            for (name, value) in [("height", image.height), ("width", image.width)] {
                fields.insert(name.to_owned(), value.into());
            }
            fields.insert("field_of_view".to_owned(), image.field_of_view.into());
            Value::Object(fields)
        };
        all.insert("images".to_owned(), self.images.iter().map(image).collect());
        let skipped = |skipped: &Skipped| json!({"id": skipped.sample, "error": skipped.error});
        all.insert("skipped".to_owned(), self.broken.iter().map(skipped).collect());
        Value::Object(all)
    }
}

/// Measures models. Figures of each image and a few pictures go to `out`, as in a run's folder.
///
/// # Errors
/// When a model or the images can't be read, or don't fit each other.
pub fn evaluate(
    models: &[PathBuf],
    wanted: &Wanted<'_>,
    choices: &Choices,
    out: &Path,
    registry: &Registry,
    (control, quiet): (&Control, bool),
) -> Result<Evaluated> {
    let recipe = match wanted {
        Wanted::File(..) if choices.size.is_some() => {
            return Err(StageError::new("how photographs are resized is the file's to say")
                .help("leave out --size, or --set stages.ID.with.size=... of its `resize` stage"));
        }
        // The file's stages prepare the photographs.
        Wanted::File(..) => Recipe::of_file(models, choices)?,
        Wanted::Pairs { .. } => Recipe::of(models, choices)?,
    };
    let file = match wanted {
        Wanted::File(pipeline, of) => of_file(pipeline, *of, &recipe)?,
        Wanted::Pairs { images, masks, field_of_view } => of_pairs(&recipe, images, masks, *field_of_view)?,
    };
    let pipeline = checked(&file, registry)?;
    std::fs::create_dir_all(out).map_err(|error| StageError::from(error).context(out.display()))?;
    let (heard, ledger) = (Arc::new(Heard::new(0, quiet)), Arc::new(SkipLedger::new(pipeline.settings.on_error.cap())));
    let outcome = engine::run(&pipeline.graph, options(&pipeline, out, &heard, &ledger), control);
    heard.finish();
    let report = outcome.map_err(|error| {
        let message = StageError::new(error.to_string());
        error.cause.mend().map_or(message.clone(), |mend| message.help(mend))
    })?;
    let figures = heard.take();
    let none = || StageError::new("nothing was measured");
    let eval = match figures.eval {
        None if report.end == End::Interrupted => EvalEvent::default(),
        eval => eval.ok_or_else(none)?,
    };
    Ok(Evaluated { eval, images: figures.images, broken: ledger.all(), end: report.end })
}

/// The file's own test branch, with the models in place of what it trains.
fn of_file(pipeline: &Pipeline, of: Option<&str>, recipe: &Recipe) -> Result<Value> {
    let graph = &pipeline.graph;
    let evaluator = chosen(graph, of)?;
    let stage = graph.stage(evaluator);
    let last = stage.kind.inputs.len().saturating_sub(1);
    let Some(before) = graph.into_port(evaluator, last) else {
        return Err(StageError::new(format!("nothing leads to the images of `{}`", stage.id)));
    };
    let mut above = BTreeSet::new();
    let mut walk = Dfs::new(Reversed(&graph.dag), before);
    while let Some(node) = walk.next(Reversed(&graph.dag)) {
        above.insert(graph.stage(node).id.clone());
    }
    let listed = pipeline.resolved.get("stages").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut stages: Vec<Value> =
        listed.into_iter().filter(|stage| stage["id"].as_str().is_some_and(|id| above.contains(id))).collect();
    let mut options = recipe.options();
    // How this evaluation is made is the file's to say, but what the command asks for.
    for name in ["at", "field_of_view", "pictures", "tensors"] {
        options.extend(stage.options.get(name).map(|value| (name.to_owned(), value.clone())));
    }
    if let (None, Some(turns)) = (&recipe.choices.turns, stage.options.get("turns")) {
        options.insert("turns".to_owned(), turns.clone());
    }
    recipe.suits(graph.facts.get(evaluator.index()).and_then(|facts| facts.last()), &stage.id);
    if recipe.choices.tiles.is_none() {
        options.remove("tiles");
        options.extend(recipe.tiles_of(stage.options.get("tiles")).map(|tiles| ("tiles".to_owned(), tiles)));
    }
    if recipe.choices.whole_image {
        options.insert("field_of_view".to_owned(), false.into());
    }
    if !options.contains_key("threshold")
        && let Some(threshold) = stage.options.get("threshold").filter(|threshold| threshold.is_number())
    {
        options.insert("threshold".to_owned(), threshold.clone());
    }
    stages.push(json!({"id": stage.id, "use": "evaluate_model", "needs": graph.stage(before).id, "with": options}));
    Ok(json!({
        "name": pipeline.name,
        "seed": pipeline.settings.seed,
        "on_error": pipeline.resolved.get("on_error"),
        "strict": recipe.choices.strict || pipeline.settings.strict,
        "trainer": recipe.trainer(),
        "stages": stages,
    }))
}

/// The evaluator that was asked for, or that of the test part, or the last.
fn chosen(graph: &Graph, of: Option<&str>) -> Result<NodeIndex> {
    let mut evaluators: Vec<NodeIndex> = graph.of_role(Role::Evaluator).collect();
    evaluators.sort_unstable();
    let ids = || evaluators.iter().map(|&node| graph.stage(node).id.clone()).collect::<Vec<_>>().join(", ");
    let part = |node: &NodeIndex| {
        let facts = graph.facts.get(node.index())?.last()?.get(pipeline_contract::fact::PART)?.value.as_str()?.to_owned();
        Some(facts)
    };
    let found = match of {
        Some(id) => evaluators.iter().find(|&&node| graph.stage(node).id == id),
        None => evaluators.iter().find(|node| part(node).as_deref() == Some("test")).or(evaluators.last()),
    };
    found.copied().ok_or_else(|| match evaluators.is_empty() {
        true => StageError::new("the file evaluates nothing").help("add an `evaluate` stage, or give --images and --masks"),
        false => {
            StageError::new(format!("the file has no evaluation {}", of.unwrap_or_default())).help(format!("it has {}", ids()))
        }
    })
}

/// Photographs and masks by patterns.
fn of_pairs(recipe: &Recipe, images: &str, masks: &str, field_of_view: Option<&str>) -> Result<Value> {
    if recipe.card.classes.len() > 2 {
        let classes = recipe.card.classes.join(", ");
        return Err(StageError::new(format!("the model tells {classes} apart, and patterns don't say how masks name them"))
            .help("give a pipeline file whose `decode` has `labels`: pipeline eval MODEL FILE.yml"));
    }
    let here = std::env::current_dir().map_err(|error| StageError::from(error).context("the current folder"))?;
    let patterns: Vec<&str> = [images, masks].into_iter().chain(field_of_view).collect();
    let (root, mut below) = rooted(&here, &patterns);
    let mut with = json!({"root": escaped(&root.display().to_string())});
    for (name, pattern) in ["image", "mask", "field_of_view"].into_iter().zip(below.drain(..)) {
        with[name] = json!(escaped(&pattern));
    }
    let mut stages = vec![json!({"id": "files", "use": "image_pairs", "with": with})];
    stages.extend(recipe.stages());
    let mut options = recipe.options();
    options.insert("field_of_view".to_owned(), (!recipe.choices.whole_image).into());
    stages.push(json!({"id": "eval", "use": "evaluate_model", "with": options}));
    Ok(json!({
        "name": "eval",
        "on_error": {"skip": {"at_most": 1_000_000_000, "share": 1.0}},
        "strict": recipe.choices.strict,
        "trainer": recipe.trainer(),
        "stages": stages,
    }))
}

/// Patterns as one folder and patterns below it: the folder that all of them begin with, before anything in them stands for other text. So they may lie
/// anywhere, also above the current folder.
fn rooted(here: &Path, patterns: &[&str]) -> (PathBuf, Vec<String>) {
    let split = |pattern: &str| {
        let special = pattern.find(['*', '?', '{']).unwrap_or(pattern.len());
        let fixed = pattern[..special].rfind('/').map_or(0, |slash| slash + 1);
        (plain(&here.join(&pattern[..fixed])), pattern[fixed..].to_owned())
    };
    let parts: Vec<(PathBuf, String)> = patterns.iter().map(|pattern| split(pattern)).collect();
    let mut root = parts.first().map_or_else(|| here.to_owned(), |(folder, _)| folder.clone());
    while !parts.iter().all(|(folder, _)| folder.starts_with(&root)) && root.pop() {}
    let below = parts.into_iter().map(|(folder, rest)| {
        let between = folder.strip_prefix(&root).unwrap_or(&folder).components();
        let between = between.map(|part| part.as_os_str().to_string_lossy().into_owned());
        between.chain([rest]).collect::<Vec<_>>().join("/")
    });
    let below = below.collect();
    (root, below)
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_may_lie_anywhere() {
        let rooted = |patterns: &[&str]| {
            let (root, below) = rooted(Path::new("/home/a{b}"), patterns);
            (root.display().to_string(), below)
        };
        let of = |root: &str, below: &[&str]| (root.to_owned(), below.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(rooted(&["i/{id}.png", "m/{id}_1.png"]), of("/home/a{b}", &["i/{id}.png", "m/{id}_1.png"]));
        assert_eq!(
            rooted(&["/data/x/*/{id:[0-9]{2}}.png", "/data/y/{id}.png"]),
            of("/data", &["x/*/{id:[0-9]{2}}.png", "y/{id}.png"])
        );
        assert_eq!(rooted(&["../i/{id}.png", "../i/{id}_m.png"]), of("/home/i", &["{id}.png", "{id}_m.png"]));
    }
}
