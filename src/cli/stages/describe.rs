//! One stage kind in words: doc, ports, where it runs, options with their defaults, an example.

use pipeline_contract::{DefaultValue, Join, Lane, OptionSpec, OptionType, PortType, StageKind, Variant};
use serde_json::Value;

use crate::cli::output::{bold, dim};

/// All that a kind declares.
pub(super) fn kind(kind: &StageKind, color: bool) -> String {
    let mut text = format!("{}: {}\n\n", bold(kind.name, color), kind.doc);
    text += &format!("ports    {}\nruns     {}\n", ports(kind), lane(kind.lane));
    if let Some(role) = kind.role {
        text += &format!("role     {}\n", role.name());
    }
    if !kind.metrics.is_empty() {
        let metrics = kind.metrics.iter().map(|metric| format!("{} ({})", metric.name, metric.direction));
        text += &format!("gives    {}\n", metrics.collect::<Vec<_>>().join(", "));
    }
    if kind.inputs.len() > 1 {
        let join = match kind.join {
            Join::Zip => "one item of each input, alternating",
            Join::InTurn => "in each epoch all of the first input, then all of the second",
        };
        text += &format!("reads    {join}\n");
    }
    if kind.output.is_some() && kind.may_end {
        text += "output   may be left unused\n";
    }
    if kind.options.is_empty() {
        text += "options  none\n";
    } else {
        text += &format!("\n{}\n", bold("options (under `with:`)", color));
        options(&kind.options, 1, color, &mut text);
    }
    let example = kind.example.trim();
    if !example.is_empty() {
        text += &format!("\n{}\n", bold("example", color));
        example.lines().for_each(|line| text += &format!("  {line}\n"));
    }
    text
}

/// `files -> image_pair`; of a source `-> files`, of a sink `batch ->`.
pub(super) fn ports(kind: &StageKind) -> String {
    let inputs = kind.inputs.iter().map(PortType::name).collect::<Vec<_>>().join(", ");
    let output = kind.output.as_ref().map_or("", PortType::name);
    format!("{inputs} -> {output}").trim().into()
}

/// Where the stages of a lane run.
pub(super) fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Source => "source: on a separate thread, ahead of its consumers",
        Lane::Workers => "workers: on the CPU workers, many items at a time",
        Lane::Sequential => "sequential: on a separate CPU thread, one item at a time, in order",
        Lane::Device => "device: on the device's thread, one item at a time, in order",
    }
}

fn options(specs: &[OptionSpec], depth: usize, color: bool, text: &mut String) {
    let indent = "  ".repeat(depth);
    for spec in specs {
        let facts = dim(&format!("{}; {}", words(&spec.ty), default(&spec.default)), color);
        *text += &format!("{indent}{}  {facts}\n{indent}    {}\n", bold(spec.name, color), spec.doc);
        nested(&spec.ty, depth + 2, color, text);
    }
}

/// The options inside an option.
fn nested(ty: &OptionType, depth: usize, color: bool, text: &mut String) {
    match ty {
        OptionType::Group(specs) => options(specs, depth, color, text),
        OptionType::Variant(variants) => variants.iter().for_each(|variant| variant_lines(variant, depth, color, text)),
        OptionType::List { of, .. } | OptionType::Map { of, .. } => nested(of, depth, color, text),
        OptionType::AnyOf(types) => types.iter().for_each(|ty| nested(ty, depth, color, text)),
        _ => {}
    }
}

fn variant_lines(variant: &Variant, depth: usize, color: bool, text: &mut String) {
    *text += &format!("{}{}: {}\n", "  ".repeat(depth), bold(variant.name, color), variant.doc);
    options(&variant.options, depth + 1, color, text);
}

/// The type in words; a group's options stand under it and need not be named twice.
fn words(ty: &OptionType) -> String {
    match ty {
        OptionType::Group(_) => "options".into(),
        ty => ty.describe(),
    }
}

fn default(default: &DefaultValue) -> String {
    match default {
        DefaultValue::Required => "required".into(),
        DefaultValue::Value(value) => format!("default {}", plain(value)),
        DefaultValue::Key(key, otherwise) => format!("default ${{{key}}}, else {}", plain(otherwise)),
        DefaultValue::Absent => "may be left out".into(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        value => value.to_string(),
    }
}
