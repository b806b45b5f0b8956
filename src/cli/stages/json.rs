//! What a stage kind declares, as JSON for other programs.

use pipeline_contract::{DefaultValue, Join, Lane, Metric, OptionSpec, OptionType, PortType, Role, StageKind};
use serde_json::{Value, json};

pub(super) fn kind(kind: &StageKind) -> Value {
    json!({
        "name": kind.name,
        "doc": kind.doc,
        "role": kind.role.map(Role::name),
        "metrics": kind.metrics.iter().map(metric).collect::<Vec<_>>(),
        "lane": match kind.lane {
            Lane::Source => "source",
            Lane::Workers => "workers",
            Lane::Sequential => "sequential",
            Lane::Device => "device",
        },
        "inputs": kind.inputs.iter().map(PortType::name).collect::<Vec<_>>(),
        "join": match kind.join {
            Join::Zip => "zip",
            Join::InTurn => "in_turn",
        },
        "output": kind.output.as_ref().map(PortType::name),
        "may_end": kind.may_end,
        "options": options(&kind.options),
        "example": kind.example,
    })
}

fn metric(metric: &Metric) -> Value {
    json!({"name": metric.name, "direction": metric.direction, "label": metric.label})
}

fn options(specs: &[OptionSpec]) -> Vec<Value> {
    specs.iter().map(option).collect()
}

fn option(spec: &OptionSpec) -> Value {
    let mut entry = json!({"name": spec.name, "doc": spec.doc, "type": ty(&spec.ty)});
    match &spec.default {
        DefaultValue::Required => entry["required"] = true.into(),
        DefaultValue::Value(value) => entry["default"] = value.clone(),
        DefaultValue::Key(key, otherwise) => {
            entry["default_key"] = (*key).into();
            entry["default"] = otherwise.clone();
        }
        DefaultValue::Absent => {}
    }
    entry
}

fn ty(ty_: &OptionType) -> Value {
    let mut entry = match ty_ {
        OptionType::Bool => json!({"type": "bool"}),
        OptionType::Integer { min, max } => json!({"type": "integer", "min": min, "max": max}),
        // Unbounded sides are not numbers in JSON: null.
        OptionType::Number { min, max } => json!({"type": "number", "min": finite(*min), "max": finite(*max)}),
        OptionType::Text => json!({"type": "text"}),
        OptionType::Path => json!({"type": "path"}),
        OptionType::Choice(words) => json!({"type": "choice", "values": words}),
        OptionType::Bytes => json!({"type": "bytes"}),
        OptionType::List { of, min, max } => {
            json!({"type": "list", "of": ty(of), "min": min, "max": (*max != usize::MAX).then_some(max)})
        }
        OptionType::Map { of, min, max } => {
            json!({"type": "map", "of": ty(of), "min": min, "max": (*max != usize::MAX).then_some(max)})
        }
        OptionType::AnyOf(types) => json!({"type": "any_of", "of": types.iter().map(ty).collect::<Vec<_>>()}),
        OptionType::Variant(variants) => json!({
            "type": "variant",
            "variants": variants
                .iter()
                .map(|variant| json!({"name": variant.name, "doc": variant.doc, "options": options(&variant.options)}))
                .collect::<Vec<_>>(),
        }),
        OptionType::Group(specs) => json!({"type": "group", "options": options(specs)}),
    };
    entry["words"] = ty_.describe().into();
    entry
}

fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}
