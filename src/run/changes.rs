//! What has changed in a file since a checkpoint was taken, and what that means for a run that resumes from it. The options'
//! declarations decide, so a user's own stages are judged like any other.

use std::fmt;

use pipeline_contract::{Lane, OnResume, Registry, StageKind};
use serde_json::{Map, Value};

use crate::engine::Position;

/// What a change means for a run that resumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The result is that of the undisturbed run.
    Harmless,
    /// The result changes.
    Alters,
    /// The run can't resume.
    Impossible,
}

/// A key whose value is another one now.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key, as `--set` names it.
    pub key: String,
    /// The value before; `None` if there was none.
    pub from: Option<Value>,
    /// The value now; `None` if there is none.
    pub to: Option<Value>,
    /// What that means.
    pub effect: Effect,
    /// Why, where the key alone doesn't say it.
    pub why: Option<&'static str>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        write!(f, "{}: {} -> {}", self.key, text(&self.from), text(&self.to))?;
        self.why.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

/// What differs between two resolved files, and what it means after the epochs that have started. `whole_run` is true
/// if a stage spreads something over all epochs, such as a learning rate.
pub fn compare(then: &Value, now: &Value, position: &Position, registry: &Registry, whole_run: bool) -> Vec<Change> {
    let mut all = Changes { registry, list: Vec::new() };
    for key in ["name", "seed"] {
        let effect = if key == "name" { Effect::Harmless } else { Effect::Alters };
        all.value(key, then.get(key), now.get(key), effect, None);
    }
    let why = Some("it only affects broken samples");
    all.value("on_error", then.get("on_error"), now.get("on_error"), Effect::Harmless, why);
    let why = Some("it only affects what is doubtful");
    all.value("strict", then.get("strict"), now.get("strict"), Effect::Harmless, why);
    let empty = Map::new();
    let block = |file: &'_ Value| file.get("trainer").and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (block(then), block(now));
    for key in keys(&before, &after) {
        let (from, to) = (before.get(&key), after.get(&key));
        let stops = || [&before, &after].iter().any(|block| block.contains_key("early_stopping"));
        let (effect, why) = match key.as_str() {
            "num_epochs" => epochs(from, to, position, whole_run),
            "early_stopping" => early_stopping(from, to),
            "checkpoint" if stops() && best(from) != best(to) => (Effect::Alters, Some("early_stopping goes by it")),
            _ => (Effect::Harmless, None),
        };
        all.value(&format!("trainer.{key}"), from, to, effect, why);
    }
    let (before, after) = (without_caches(then, registry), without_caches(now, registry));
    let id = |stage: &Value| stage.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    for stage in &before {
        let to = after.iter().find(|other| id(other) == id(stage));
        all.stage(&id(stage), stage.as_object().unwrap_or(&empty), to.and_then(Value::as_object));
    }
    for stage in after.iter().filter(|stage| !before.iter().any(|other| id(other) == id(stage))) {
        all.comes_or_goes(&id(stage), None, stage.as_object());
    }
    all.list
}

/// A file's stages without those that only keep what others made; what needed them needs what they needed.
fn without_caches(file: &Value, registry: &Registry) -> Vec<Value> {
    let mut stages = file.get("stages").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_cache = |stage: &Value| {
        let kind = stage.get("use").and_then(Value::as_str).and_then(|name| registry.get(name));
        kind.is_some_and(|kind| kind.caches.is_some())
    };
    while let Some(at) = stages.iter().position(is_cache) {
        let cache = stages.remove(at);
        let (Some(id), Some(above)) = (cache.get("id"), cache.get("needs")) else { continue };
        let through = |need: &mut Value| {
            if need == id {
                *need = above.clone();
            }
        };
        for needs in stages.iter_mut().filter_map(|stage| stage.get_mut("needs")) {
            match needs {
                Value::Array(all) => all.iter_mut().for_each(through),
                one => through(one),
            }
        }
    }
    stages
}

/// More epochs than were begun change nothing of those that are done.
fn epochs(from: Option<&Value>, to: Option<&Value>, position: &Position, whole_run: bool) -> (Effect, Option<&'static str>) {
    let done = position.inputs.iter().map(|input| input.epochs + u64::from(input.items > 0)).max().unwrap_or(0);
    let number = |value: Option<&Value>| value.and_then(Value::as_u64).unwrap_or(0);
    match (number(from), number(to)) {
        (_, to) if to < done => (Effect::Impossible, Some("more epochs than that have started")),
        _ if whole_run => (Effect::Alters, Some("the learning rate falls over the whole run, whose length has changed")),
        (from, to) if to < from => (Effect::Alters, Some("the run ends earlier")),
        _ => (Effect::Harmless, None),
    }
}

/// More patience, or no limit on it, gives what the undisturbed run with it would have given, as more epochs do.
fn early_stopping(from: Option<&Value>, to: Option<&Value>) -> (Effect, Option<&'static str>) {
    let read = |block: &Value| Some((block.get("patience")?.as_u64()?, block.get("min_delta")?.as_f64()?));
    match (from.and_then(read), to.and_then(read)) {
        (Some(_), None) => (Effect::Harmless, None),
        (Some((then, delta)), Some((now, same))) if now >= then && delta == same => (Effect::Harmless, None),
        _ => (Effect::Alters, Some("the run may end after another epoch")),
    }
}

/// What the best checkpoint goes by.
fn best(checkpoint: Option<&Value>) -> Option<&Value> {
    checkpoint?.get("best")
}

/// A limit, 0 for none.
fn limit(from: Option<&Value>, to: Option<&Value>) -> (Effect, Option<&'static str>) {
    let limit = |value: Option<&Value>| value.and_then(Value::as_u64).filter(|&limit| limit > 0).unwrap_or(u64::MAX);
    match limit(to) >= limit(from) {
        true => (Effect::Harmless, None),
        false => (
            Effect::Alters,
            Some("if the lower limit is reached, samples are processed in smaller parts, which round differently"),
        ),
    }
}

fn keys(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let added = after.keys().filter(|key| !before.contains_key(*key));
    before.keys().chain(added).cloned().collect()
}

struct Changes<'a> {
    registry: &'a Registry,
    list: Vec<Change>,
}

impl Changes<'_> {
    fn value(&mut self, key: &str, from: Option<&Value>, to: Option<&Value>, effect: Effect, why: Option<&'static str>) {
        if from != to {
            self.list.push(Change { key: key.to_owned(), from: from.cloned(), to: to.cloned(), effect, why });
        }
    }

    fn kind(&self, stage: &Map<String, Value>) -> Option<&StageKind> {
        self.registry.get(stage.get("use")?.as_str()?)
    }

    fn stage(&mut self, id: &str, from: &Map<String, Value>, to: Option<&Map<String, Value>>) {
        let Some(to) = to else { return self.comes_or_goes(id, Some(from), None) };
        for key in ["use", "needs"] {
            let why = Some("the saved state is of the stages as they were");
            self.value(&format!("stages.{id}.{key}"), from.get(key), to.get(key), Effect::Impossible, why);
        }
        for key in ["workers", "bound"] {
            self.value(&format!("stages.{id}.{key}"), from.get(key), to.get(key), Effect::Harmless, None);
        }
        let options = |stage: &Map<String, Value>| stage.get("with").and_then(Value::as_object).cloned().unwrap_or_default();
        let (before, after) = (options(from), options(to));
        let kind = self.kind(from).cloned();
        for key in keys(&before, &after) {
            let (from, to) = (before.get(&key), after.get(&key));
            let spec = kind.as_ref().and_then(|kind| kind.options.iter().find(|option| option.name == key));
            let (effect, why) = match spec.map_or(OnResume::Alters, |spec| spec.on_resume) {
                OnResume::Harmless => (Effect::Harmless, None),
                OnResume::Limit => limit(from, to),
                OnResume::Alters => (Effect::Alters, None),
                OnResume::Choice if from.is_some() && to.is_some() => (Effect::Alters, None),
                OnResume::Choice | OnResume::Impossible => (Effect::Impossible, Some("the saved state doesn't fit it")),
            };
            self.value(&format!("stages.{id}.with.{key}"), from, to, effect, why);
        }
    }

    /// A stage that wasn't there, or isn't any more. Sinks on the CPU may come and go: nothing hangs on them.
    fn comes_or_goes(&mut self, id: &str, from: Option<&Map<String, Value>>, to: Option<&Map<String, Value>>) {
        let sink = |stage| self.kind(stage).is_some_and(|kind| kind.output.is_none() && kind.lane != Lane::Device);
        let (effect, why) = match from.or(to).is_some_and(sink) {
            true => (Effect::Harmless, None),
            false => (Effect::Impossible, Some("the saved state is of the stages as they were")),
        };
        let name = |stage: Option<&Map<String, Value>>| stage.and_then(|stage| stage.get("use")).cloned();
        self.value(&format!("stages.{id}"), name(from).as_ref(), name(to).as_ref(), effect, why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::InputPosition;

    /// The changes of a file with one thing set otherwise, as "key effect".
    fn changes(set: &[&str], epochs: u64) -> Vec<String> {
        let registry = crate::builtin();
        let resolved = |set: &[&str]| {
            let set: Vec<String> = set.iter().map(ToString::to_string).collect();
            let text = include_str!("../../pipelines/quickstart.yml").to_owned();
            let loaded = crate::spec::load_text("quickstart.yml", text, &set, &registry);
            assert!(loaded.pipeline.is_some(), "{:?}", loaded.diagnostics);
            loaded.pipeline.unwrap().resolved
        };
        let input = InputPosition { epochs, items: 1, ..InputPosition::default() };
        let position = Position { inputs: vec![input], turn: (0, 0), open_ports: vec![1] };
        let list = compare(&resolved(&[]), &resolved(set), &position, &registry, false);
        list.iter().map(|change| format!("{} {:?}", change.key, change.effect)).collect()
    }

    #[test]
    fn each_change_is_what_its_declaration_says() {
        assert!(changes(&[], 0).is_empty());
        assert_eq!(changes(&["stages.decode.workers=1"], 0), ["stages.decode.workers Harmless"]);
        assert_eq!(changes(&["stages.train.bound=1"], 0), ["stages.train.bound Harmless"]);
        assert_eq!(changes(&["trainer.num_epochs=50"], 0), ["trainer.num_epochs Harmless"]);
        assert_eq!(changes(&["trainer.num_epochs=1"], 0), ["trainer.num_epochs Alters"]);
        assert_eq!(changes(&["trainer.num_epochs=2"], 2), ["trainer.num_epochs Impossible"]);
        assert_eq!(changes(&["trainer.early_stopping={patience: 3}"], 0), ["trainer.early_stopping Alters"]);
        let patience = |patience: u64, min_delta: f64| json!({"patience": patience, "min_delta": min_delta});
        let stopping = |from: &Value, to: Option<&Value>| early_stopping(Some(from), to).0;
        assert_eq!(stopping(&patience(3, 0.0), Some(&patience(5, 0.0))), Effect::Harmless);
        assert_eq!(stopping(&patience(3, 0.0), None), Effect::Harmless);
        assert_eq!(stopping(&patience(3, 0.0), Some(&patience(2, 0.0))), Effect::Alters);
        assert_eq!(stopping(&patience(3, 0.0), Some(&patience(3, 0.1))), Effect::Alters);
        assert_eq!(changes(&["trainer.host_memory_budget=1GiB"], 0), ["trainer.host_memory_budget Harmless"]);
        let budget = |from: u64, to: u64| limit(Some(&json!(from)), Some(&json!(to))).0;
        assert_eq!((budget(2, 3), budget(2, 0), budget(0, 0)), (Effect::Harmless, Effect::Harmless, Effect::Harmless));
        assert_eq!((budget(3, 2), budget(0, 2)), (Effect::Alters, Effect::Alters));
        let lower = changes(&["trainer.memory_budget=1GiB"], 0);
        assert_eq!(lower, ["trainer.memory_budget Harmless", "stages.train.with.memory_budget Alters"]);
        assert_eq!(changes(&["seed=43"], 0)[0], "seed Alters");
        assert_eq!(changes(&["stages.optim.with.clip_norm=0.5"], 0), ["stages.optim.with.clip_norm Alters"]);
        assert_eq!(changes(&["stages.train.with.model={unet: {base: 4}}"], 0), ["stages.train.with.model Impossible"]);
    }

    #[test]
    fn a_stage_that_comes_or_goes() {
        let (registry, position) = (crate::builtin(), Position { inputs: vec![], turn: (0, 0), open_ports: vec![] });
        let file =
            |kinds: &[&str]| json!({"stages": kinds.iter().map(|kind| json!({"id": kind, "use": kind})).collect::<Vec<_>>()});
        let effects = |from: &[&str], to: &[&str]| {
            let list = compare(&file(from), &file(to), &position, &registry, false);
            list.into_iter().map(|change| change.effect).collect::<Vec<_>>()
        };
        assert_eq!(effects(&["decode"], &["decode", "preview"]), [Effect::Harmless]);
        assert_eq!(effects(&["decode", "preview"], &["decode"]), [Effect::Harmless]);
        assert_eq!(effects(&["decode"], &["decode", "evaluate"]), [Effect::Impossible]);
        assert_eq!(effects(&["decode", "resize"], &["decode"]), [Effect::Impossible]);
    }
}
