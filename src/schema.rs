//! The JSON Schema (draft 2020-12) of pipeline files, for editors: made of the same declarations as the checks in
//! [`crate::spec`]. It sees one file's shape; references, cycles and port types are beyond any schema.

use pipeline_contract::{DefaultValue, Lane, OptionSpec, OptionType, Registry, StageKind, Variant};
use serde_json::{Map, Value, json};

use crate::spec::{OWN_KEYS, settings, stages};

/// The schema of files whose stages are of the registry's kinds.
pub fn schema(registry: &Registry) -> Value {
    let Value::Object(top) = properties(&settings::top_keys()) else { return json!({}) };
    let mut keys = Map::new();
    keys.insert(
        "name".into(),
        json!({"type": "string", "description": "the run's name; part of its folder's name (default: the file's name)"}),
    );
    keys.extend(top);
    let dataset = "your own keys, referred to by `${dataset.KEY}`";
    keys.insert("dataset".into(), json!({"type": ["object", "null"], "description": dataset}));
    keys.insert("trainer".into(), trainer(registry));
    let stages = "the stages; each follows the one above it unless it says `needs` or is a source";
    keys.insert(
        "stages".into(),
        json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/stage"}, "description": stages}),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pipeline",
        "type": "object",
        "properties": keys,
        "required": ["trainer", "stages"],
        "patternProperties": {format!("^{OWN_KEYS}"): {"description": "your own: a place for YAML anchors"}},
        "additionalProperties": false,
        "$defs": {
            "stage": stage(registry),
            "reference": {
                "type": "string",
                "pattern": r"\$\{[^{}]+\}",
                "description": "the value of another key of this file, such as ${dataset.image_size}",
            },
        },
    })
}

/// The keys that the program and the kinds read; others are the user's own, for references.
fn trainer(registry: &Registry) -> Value {
    let mut options = settings::trainer_keys();
    for settings::Reader { key, option, .. } in settings::readers(registry) {
        let Some(name) = key.strip_prefix("trainer.").filter(|name| !name.contains('.')) else { continue };
        if options.iter().all(|known| known.name != name) {
            options.push(OptionSpec { name, ..option.clone() });
        }
    }
    json!({
        "type": "object",
        "description": "how to train; further keys are referred to by `${trainer.KEY}`",
        "properties": properties(&options),
        "required": required(&options),
    })
}

fn stage(registry: &Registry) -> Value {
    let kinds: Vec<&StageKind> = registry.kinds().collect();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let docs: Vec<&str> = kinds.iter().map(|kind| kind.doc).collect();
    let id =
        json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$", "description": "the stage's name, unique within the file"});
    let need = json!({"type": "string", "description": "the id of a stage, or several in the order of the input ports"});
    json!({
        "type": "object",
        "properties": {
            "id": id,
            "use": {"enum": names, "markdownEnumDescriptions": docs, "description": "the kind of stage"},
            "needs": {"anyOf": [need, {"type": "array", "items": need}, {"type": "null"}]},
            "with": {"type": ["object", "null"], "description": "the options of the kind"},
            "workers": described(&stages::workers_type(), "number of CPU workers that run it in parallel", true),
            "bound": described(&stages::bound_type(), "limit of the queue before it: items, or {items, bytes}", true),
        },
        "required": ["id", "use"],
        "additionalProperties": false,
        "allOf": kinds.iter().map(|kind| of_kind(kind)).collect::<Vec<_>>(),
    })
}

/// What a stage's `with` holds when its `use` is this kind.
fn of_kind(kind: &StageKind) -> Value {
    let mut with = group(&kind.options);
    let needs_options = kind.options.iter().any(|option| option.default == DefaultValue::Required);
    if !needs_options {
        with["type"] = json!(["object", "null"]);
    }
    with["description"] = json!(format!("{}: {}", kind.name, kind.doc));
    let mut then = json!({"properties": {"with": with}, "required": if needs_options { vec!["with"] } else { vec![] }});
    if kind.lane != Lane::Workers {
        then["properties"]["workers"] = json!({"type": "null", "description": "this kind sees its items one at a time"});
    }
    json!({"if": {"properties": {"use": {"const": kind.name}}, "required": ["use"]}, "then": then})
}

fn group(options: &[OptionSpec]) -> Value {
    json!({"type": "object", "properties": properties(options), "required": required(options), "additionalProperties": false})
}

fn required(options: &[OptionSpec]) -> Vec<&str> {
    options.iter().filter(|option| option.default == DefaultValue::Required).map(|option| option.name).collect()
}

fn properties(options: &[OptionSpec]) -> Value {
    Value::Object(options.iter().map(|option| (option.name.to_owned(), property(option))).collect())
}

fn property(option: &OptionSpec) -> Value {
    let mut schema = described(&option.ty, option.doc, option.default == DefaultValue::Absent);
    match &option.default {
        DefaultValue::Value(value) => schema["default"] = value.clone(),
        DefaultValue::Key(key, otherwise) if option.name != key.rsplit('.').next().unwrap_or("") => {
            schema["description"] = json!(format!("{} (default: {key}, otherwise {otherwise})", option.doc));
        }
        DefaultValue::Key(_, otherwise) => schema["default"] = otherwise.clone(),
        DefaultValue::Required | DefaultValue::Absent => {}
    }
    schema
}

fn described(ty: &OptionType, doc: &str, or_null: bool) -> Value {
    let mut schema = any_of(ty, or_null);
    schema["description"] = json!(doc);
    schema
}

/// The type, or a reference to a value of that type.
fn any_of(ty: &OptionType, or_null: bool) -> Value {
    let mut schemas = alternatives(ty);
    // Any text is let through where references are anyway.
    if schemas.iter().all(|schema| *schema != json!({"type": "string"})) {
        schemas.push(json!({"$ref": "#/$defs/reference"}));
    }
    if or_null {
        schemas.push(json!({"type": "null"}));
    }
    match schemas.as_slice() {
        [schema] => schema.clone(),
        _ => json!({"anyOf": schemas}),
    }
}

fn alternatives(ty: &OptionType) -> Vec<Value> {
    match ty {
        OptionType::Bool => vec![json!({"type": "boolean"})],
        OptionType::Integer { min, max } => {
            let (min, max) = (Some(*min).filter(|min| *min != i64::MIN), Some(*max).filter(|max| *max != i64::MAX));
            vec![bounded("integer", min.map(Value::from), max.map(Value::from))]
        }
        OptionType::Number { min, max } => {
            let finite = |bound: f64| Some(bound).filter(|bound| bound.is_finite()).map(Value::from);
            vec![bounded("number", finite(*min), finite(*max))]
        }
        OptionType::Text => vec![json!({"type": "string"})],
        OptionType::Path => vec![json!({"type": "string", "minLength": 1})],
        OptionType::Choice(words) => vec![json!({"enum": words})],
        OptionType::Bytes => {
            let amount = r"^\s*\d+(\.\d+)?\s*([KkMmGgTt][Ii]?)?[Bb]\s*$";
            vec![
                bounded("integer", Some(json!(0)), None),
                json!({"type": "string", "pattern": amount, "description": ty.describe()}),
            ]
        }
        OptionType::List { of, min, max } => {
            let mut list = json!({"type": "array", "items": any_of(of, false), "minItems": min});
            if *max != usize::MAX {
                list["maxItems"] = json!(max);
            }
            vec![list]
        }
        OptionType::Map { of, min, max } => {
            let mut map = json!({"type": "object", "additionalProperties": any_of(of, false), "minProperties": min});
            if *max != usize::MAX {
                map["maxProperties"] = json!(max);
            }
            vec![map]
        }
        OptionType::AnyOf(types) => types.iter().flat_map(alternatives).collect(),
        OptionType::Variant(variants) => variant(variants),
        OptionType::Group(options) => vec![group(options)],
    }
}

fn bounded(ty: &str, min: Option<Value>, max: Option<Value>) -> Value {
    let mut schema = json!({"type": ty});
    for (key, bound) in [("minimum", min), ("maximum", max)] {
        if let Some(bound) = bound {
            schema[key] = bound;
        }
    }
    schema
}

/// The bare name of a variant, or a map with its name as the only key.
fn variant(variants: &[Variant]) -> Vec<Value> {
    let bare: Vec<&Variant> = variants.iter().filter(|variant| required(&variant.options).is_empty()).collect();
    let named = |variant: &Variant| {
        let mut options = group(&variant.options);
        if required(&variant.options).is_empty() {
            options["type"] = json!(["object", "null"]);
        }
        options["description"] = json!(variant.doc);
        (variant.name.to_owned(), options)
    };
    let object = json!({
        "type": "object",
        "properties": Value::Object(variants.iter().map(named).collect()),
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
    });
    let names = json!({
        "enum": bare.iter().map(|variant| variant.name).collect::<Vec<_>>(),
        "markdownEnumDescriptions": bare.iter().map(|variant| variant.doc).collect::<Vec<_>>(),
    });
    if bare.is_empty() { vec![object] } else { vec![names, object] }
}
