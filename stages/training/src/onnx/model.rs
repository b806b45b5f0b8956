//! The whole model: from an 8-bit photograph to probabilities, with the network's graph between, and what a program that runs it
//! must know.

use pipeline_contract::Result;
use serde_json::{Value, json};

use super::about::About;
use super::graph::Graph;
use super::layers::probabilities;
use super::proto::{Attribute, Entry, GraphMessage, Length, Model, OperatorSet, ValueInfo, element};
use super::translation::Translation;
use crate::network::Network;
use crate::parameters::Values;

/// The version of ONNX's operators. 17 is what old runtimes have.
pub(super) const OPSET: i64 = 17;
/// The version of the format that came with opset 17.
const IR_VERSION: i64 = 8;
/// The model's input.
pub(super) const IMAGE: &str = "image";
/// The model's output.
pub(super) const PROBABILITIES: &str = "probabilities";

/// The model of a network with these values.
///
/// # Errors
/// When the network's graph can't be said in ONNX.
pub(super) fn model(network: &Network, values: &Values, about: &About) -> Result<Model> {
    let mut graph = Graph::default();
    [IMAGE, PROBABILITIES].into_iter().for_each(|name| graph.reserve(name));
    // The network's tensors keep their names.
    network.layout.specs().iter().for_each(|spec| graph.reserve(&spec.name));
    let images = images(&mut graph, about);
    let mut translation = Translation::new(network, values, graph, images);
    let logits = translation.run()?;
    let mut graph = translation.graph;
    let (operator, attributes) = probabilities(network.classes);
    graph.named(PROBABILITIES, operator, &[&logits], attributes);
    let lengths = |channels: usize| {
        let named = |name: &str| Length::Named(name.to_owned());
        vec![named("batch"), Length::Fixed(channels as i64), named("height"), named("width")]
    };
    let graph = GraphMessage {
        node: graph.operators,
        name: network.about.clone(),
        initializer: graph.tensors,
        input: vec![ValueInfo::tensor(IMAGE, element::UINT8, lengths(3))],
        output: vec![ValueInfo::tensor(PROBABILITIES, element::FLOAT, lengths(network.classes))],
    };
    Ok(Model {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        producer_name: "pipeline".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: words(network, about),
        graph: Some(graph),
        metadata_props: metadata(network, about),
    })
}

/// The operators from 8-bit images to what the network reads: `(value / 255 - mean) / std`. Returns the value's name.
fn images(graph: &mut Graph, about: &About) -> String {
    let normalization = about.normalization;
    let to_float = vec![Attribute::int("to", i64::from(element::FLOAT))];
    let float = graph.operator("image.float", "Cast", &[IMAGE], to_float);
    let most = graph.constant("image.most", &[], &[255.0]);
    let mut value = graph.operator("image.scaled", "Div", &[&float, &most], Vec::new());
    if normalization.mean != [0.0; 3] {
        let mean = graph.constant("image.mean", &[3, 1, 1], &normalization.mean);
        value = graph.operator("image.centred", "Sub", &[&value, &mean], Vec::new());
    }
    if normalization.std != [1.0; 3] {
        let std = graph.constant("image.std", &[3, 1, 1], &normalization.std);
        value = graph.operator("image.normalized", "Div", &[&value, &std], Vec::new());
    }
    value
}

/// The description, for people.
fn words(network: &Network, about: &About) -> String {
    let (stride, classes) = (network.stride, network.classes);
    let mut words = format!(
        "{}. Input `{IMAGE}`: uint8 [batch, 3, height, width], red, green, blue, 0 to 255; height and width are multiples of \
         {stride}. The mean and the deviation of the colours are taken care of inside. Output `{PROBABILITIES}`: float32 [batch, \
         {classes}, height, width], ",
        network.about
    );
    match (classes, about.classes.get(1)) {
        (1, Some(name)) => words.push_str(&format!("the probability of {name:?}.")),
        (1, None) => words.push_str("the probability of the class that was trained."),
        _ => words.push_str("the probabilities of the classes, which sum to 1."),
    }
    if let Some([height, width]) = about.input {
        words.push_str(&format!(" Photographs were resized to {height} x {width} (height x width)."));
    }
    words
}

/// The description, for programs: texts, of which lists and objects are JSON.
fn metadata(network: &Network, about: &About) -> Vec<Entry> {
    let mut entries: Vec<(&str, String)> = vec![("stride", network.stride.to_string())];
    if !about.classes.is_empty() {
        entries.push(("classes", json!(about.classes).to_string()));
    }
    if network.classes == 1 {
        entries.extend(about.threshold.map(|threshold| ("threshold", threshold.to_string())));
    }
    if let Some(size) = about.input {
        entries.push(("input", json!({"size": size}).to_string()));
    }
    let of = |values: [f32; 3]| values.map(|value| value.to_string().parse::<f64>().map_or(Value::Null, Value::from));
    let (mean, std) = (of(about.normalization.mean), of(about.normalization.std));
    entries.push(("normalization", json!({"mean": mean, "std": std}).to_string()));
    entries.extend(about.model.iter().map(|model| ("model", model.clone())));
    // What a weights file says about the network, under names that aren't taken. There `classes` is a number.
    let own = network.metadata.iter().map(|(key, value)| (key.as_str(), value));
    let others: Vec<_> = own.filter(|(key, _)| *key != "classes" && entries.iter().all(|(taken, _)| taken != key)).collect();
    entries.extend(others.into_iter().map(|(key, value)| (key, value.clone())));
    entries.into_iter().map(|(key, value)| Entry { key: key.to_owned(), value }).collect()
}
