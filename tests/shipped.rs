//! The pipelines and kinds that come with the program: they pass the checks, and the schema agrees.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::{Path, PathBuf};

use pipeline::contract::Event;
use pipeline::contract::events::{ByCause, FORMAT, StepEvent};
use pipeline::schema::schema;
use pipeline::{builtin, spec};
use serde_json::{Value, json};

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).unwrap()
}

/// What a schema finds wrong with a value.
fn wrong(schema: &Value, value: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(schema).unwrap();
    validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
}

/// A part of the schema as a separate schema.
fn part(whole: &Value, part: &Value) -> Value {
    let mut part = part.clone();
    part["$defs"] = whole["$defs"].clone();
    part
}

#[test]
fn shipped_pipelines_pass_the_reader_and_the_schema() {
    let (registry, schema) = (builtin(), schema(&builtin()));
    let mut problems = Vec::new();
    for path in shipped() {
        let loaded = spec::load(&path, &[], &registry);
        problems.extend(loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)));
        assert_eq!(wrong(&schema, &yaml(&std::fs::read_to_string(&path).unwrap())), [""; 0], "{}", path.display());
        let Some(pipeline) = loaded.pipeline else { continue };
        let resolved = pipeline.resolved;
        assert_eq!(wrong(&schema, &resolved), [""; 0], "{} resolved", path.display());
        let again = spec::load_text("resolved.yml", spec::to_yaml(&resolved), &[], &registry);
        assert_eq!(again.pipeline.map(|pipeline| pipeline.resolved), Some(resolved), "{} read again", path.display());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn the_schema_is_one() {
    jsonschema::draft202012::meta::validate(&schema(&builtin())).unwrap();
}

#[test]
fn the_example_of_every_kind_fits_its_declaration() {
    let whole = schema(&builtin());
    let stage = json!({"$ref": "#/$defs/stage"});
    for kind in builtin().kinds() {
        let Value::Array(example) = yaml(kind.example) else { panic!("the example of {} is no list entry", kind.name) };
        assert_eq!(example[0]["use"], json!(kind.name));
        assert_eq!(wrong(&part(&whole, &stage), &example[0]), [""; 0], "the example of {}", kind.name);
    }
}

#[test]
fn every_default_is_a_value_that_the_file_could_give() {
    fn walk(whole: &Value, schema: &Value, name: &str) {
        if let Some(default) = schema.get("default") {
            assert_eq!(wrong(&part(whole, schema), default), [""; 0], "the default of {name}");
        }
        match schema {
            Value::Object(map) => {
                map.iter().filter(|(key, _)| *key != "default").for_each(|(key, inner)| walk(whole, inner, key))
            }
            Value::Array(list) => list.iter().for_each(|inner| walk(whole, inner, name)),
            _ => {}
        }
    }
    let schema = schema(&builtin());
    walk(&schema, &schema["$defs"]["stage"], "stage");
    walk(&schema, &schema["properties"], "file");
}

#[test]
fn the_events_are_documented_with_their_fields() {
    let text = include_str!("../docs/metrics.md");
    for name in Event::NAMES {
        assert!(text.contains(&format!("\n| `{name}` |")), "docs/metrics.md has no row for `{name}`");
    }
    assert!(text.contains(&format!("the version of this format, now {FORMAT}.")));
    let step = Event::from(StepEvent {
        host_bytes: Some(0),
        host_bytes_peak: Some(0),
        host_by_cause: Some(ByCause::default()),
        ..StepEvent::default()
    });
    for field in step.fields().keys() {
        assert!(text.contains(&format!("`{field}`")), "docs/metrics.md has no field `{field}`");
    }
}
