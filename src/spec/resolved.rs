//! The file with overrides, references and defaults filled in. Reading it again gives the same run.

use pipeline_contract::PipelineId;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Pipeline;
use super::needs::Need;
use super::settings::Top;
use super::stages::Entry;
use super::template;

/// Everything that decides the run.
pub(super) fn value(top: &Top, entries: &[Entry], needs: &[Vec<Need>]) -> Value {
    let mut file = Map::new();
    file.insert("name".into(), json!(top.name));
    file.insert("seed".into(), json!(top.settings.seed));
    file.insert("on_error".into(), top.on_error.clone());
    // Files had no such key once, and a run of theirs resumes.
    if top.settings.strict {
        file.insert("strict".into(), json!(true));
    }
    // What stages read of `dataset:` and `trainer:` is in their options now; repeated here, nothing would read it.
    file.insert("trainer".into(), escaped(Value::Object(top.trainer.clone())));
    file.insert("stages".into(), (0..entries.len()).map(|at| stage(entries, needs, at)).collect());
    Value::Object(file)
}

fn stage(entries: &[Entry], needs: &[Vec<Need>], at: usize) -> Value {
    let entry = &entries[at];
    let mut stage = Map::new();
    stage.insert("id".into(), json!(entry.id));
    stage.insert("use".into(), json!(entry.kind.as_ref().map(|kind| kind.name)));
    let ids: Vec<_> = needs[at].iter().filter_map(|need| entries[need.stage?].id.as_deref()).collect();
    match ids.as_slice() {
        [] => {}
        [id] => drop(stage.insert("needs".into(), json!(id))),
        ids => drop(stage.insert("needs".into(), json!(ids))),
    }
    if let Some(Value::Object(options)) = entry.options.as_ref().filter(|options| **options != json!({})) {
        stage.insert("with".into(), escaped(Value::Object(options.clone())));
    }
    if let Some(workers) = entry.workers {
        stage.insert("workers".into(), json!(workers));
    }
    if let Some(bound) = entry.bound {
        stage.insert("bound".into(), json!({"items": bound.items, "bytes": bound.bytes}));
    }
    Value::Object(stage)
}

/// Texts so that they are read as text, not as references.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(template::escape(&text)),
        Value::Array(values) => values.into_iter().map(escaped).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, escaped(value))).collect()),
        other => other,
    }
}

/// A value as YAML.
pub fn to_yaml(value: &Value) -> String {
    // Only a value that isn't JSON can fail to be written, and JSON is YAML.
    serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string())
}

impl Pipeline {
    /// Its name, with the digest of its `resolved.yml`.
    pub fn id(&self) -> PipelineId {
        let sha256 = Sha256::digest(to_yaml(&self.resolved)).iter().map(|byte| format!("{byte:02x}")).collect();
        PipelineId { name: self.name.clone(), sha256 }
    }
}
