//! What is in the files, and that the checks find what is wrong with one. Whether onnxruntime agrees: `tests/onnx.rs`.
#![expect(clippy::expect_used, reason = "tests may panic")]

use pipeline_contract::{Result, stage_rng};
use pipeline_images::Normalization;
use prost::Message as _;
use serde_json::{Value, json};

use super::about::About;
use super::array::Array;
use super::interpreter::{self, Arithmetic};
use super::model::model;
use super::numbers::{self, Difference};
use super::proto::{Attribute, GraphMessage, Length, Model, Operator, element};
use super::structure;
use crate::device;
use crate::layer::{Activation, Convolution, Head, Norm, NormKind, NormOptions, Sum};
use crate::network::{Builder, Heads, Network};
use crate::networks::{self, UNetConfig};
use crate::parameters::{Init, Role, State, Values};
use crate::weights;

/// Values of a network whose norms aren't the identity.
fn values(network: &Network) -> Values {
    let cpu = device::open("cpu").expect("the CPU").device;
    let state = State::fresh(&network.layout, &cpu, |name| stage_rng(1, 0, name, "weights")).expect("small");
    let mut all = Values::default();
    for spec in network.layout.specs() {
        let tensor = match spec.role {
            Role::Trained => &state.trained[spec.slot],
            Role::Statistic => &state.statistics[spec.slot],
            Role::Counter => {
                all.counters.push(0);
                continue;
            }
        };
        let mut values = weights::values(tensor).expect("on the CPU");
        // Wide enough for each layer to show in the logits, also where a norm's running statistics don't follow the maps.
        if matches!(spec.init, Init::Uniform { .. }) {
            values.iter_mut().for_each(|value| *value *= 2.5);
        }
        if spec.name.contains("norm") {
            values.iter_mut().enumerate().for_each(|(at, value)| *value += 0.1 + 0.05 * (at % 7) as f32);
        }
        all.push(spec.role, values);
    }
    all
}

fn about() -> About {
    About {
        normalization: Normalization { mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25] },
        classes: vec!["background".into(), "vessel".into()],
        threshold: Some(0.5),
        input: Some([512, 768]),
        model: Some("{}".into()),
    }
}

/// A model as it is read back from its bytes.
fn read(network: &Network, about: &About) -> Model {
    let bytes = model(network, &values(network), about).expect("a known structure").encode_to_vec();
    Model::decode(bytes.as_slice()).expect("what was encoded")
}

fn graph(network: &Network) -> GraphMessage {
    read(network, &about()).graph.expect("a graph")
}

fn unet(norm: &str) -> Network {
    UNetConfig::new(4, 3, norm).expect("a valid size").network()
}

#[test]
fn a_file_says_what_a_program_that_runs_it_must_know() {
    let model = read(&unet("group"), &about());
    let opset: Vec<_> = model.opset_import.iter().map(|set| (set.domain.as_str(), set.version)).collect();
    assert_eq!((model.ir_version, opset), (8, vec![("", 17)]));
    for part in ["U-Net of base 4", "uint8 [batch, 3, height, width]", "multiples of 4", "\"vessel\"", "512 x 768"] {
        assert!(model.doc_string.contains(part), "{part}: {}", model.doc_string);
    }
    let entries: Vec<_> = model.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!(
        entries,
        [
            ("stride", "4"),
            ("classes", r#"["background","vessel"]"#),
            ("threshold", "0.5"),
            ("input", r#"{"size":[512,768]}"#),
            ("normalization", r#"{"mean":[0.4,0.5,0.6],"std":[0.2,0.3,0.25]}"#),
            ("model", "{}"),
            ("base", "4"),
            ("depth", "3"),
            ("norm", "group"),
        ]
    );
    let graph = model.graph.expect("a graph");
    let [input, output] = [&graph.input, &graph.output].map(|all| {
        assert_eq!(all.len(), 1);
        let tensor = all[0].kind.clone().and_then(|kind| kind.tensor).expect("a tensor");
        let lengths = tensor.shape.expect("a shape").dim.into_iter().map(|dimension| match dimension.length {
            Some(Length::Fixed(length)) => length.to_string(),
            Some(Length::Named(name)) => name,
            None => String::new(),
        });
        (all[0].name.clone(), tensor.elem_type, lengths.collect::<Vec<_>>().join(" "))
    });
    assert_eq!(input, ("image".into(), element::UINT8, "batch 3 height width".into()));
    assert_eq!(output, ("probabilities".into(), element::FLOAT, "batch 1 height width".into()));
}

#[test]
fn a_file_has_the_tensors_of_the_prediction_under_their_names_and_shapes() {
    let options = json!({"unet": {
        "base": 4, "depth": 3, "norm": "batch", "groups": 8, "eps": 1e-5, "momentum": 0.1, "classes": 3, "deep_supervision": true,
    }});
    let network = networks::build(&options).expect("a network");
    let graph = read(&network, &About { classes: Vec::new(), ..about() }).graph.expect("a graph");
    structure::check(&graph).expect("right");
    for spec in network.layout.specs().iter().filter(|spec| spec.role != Role::Counter) {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == spec.name);
        // Heads on coarser levels are for training alone.
        assert_eq!(tensor.is_some(), !spec.name.starts_with("deep_heads"), "{}", spec.name);
        let Some(tensor) = tensor else { continue };
        let shape: Vec<usize> = tensor.dims.iter().map(|&length| length as usize).collect();
        assert_eq!((shape, tensor.raw_data.len()), (spec.shape.clone(), 4 * spec.elements().expect("small")), "{}", spec.name);
    }
    let last = graph.node.last().expect("operators");
    assert_eq!((last.op_type.as_str(), last.output.as_slice()), ("Softmax", &["probabilities".to_owned()][..]));
}

#[test]
fn a_plain_normalisation_takes_no_operators() {
    let plain = About { normalization: Normalization::default(), ..About::default() };
    let operators: Vec<String> =
        read(&unet("group"), &plain).graph.expect("a graph").node.into_iter().take(3).map(|node| node.op_type).collect();
    assert_eq!(operators, ["Cast", "Div", "Conv"]);
}

#[test]
fn a_graph_whose_parts_dont_fit_is_found() {
    type Break = fn(&mut GraphMessage);
    let broken: [(Break, &str); 7] = [
        (|graph| graph.node.swap(3, 4), "which isn't made before"),
        (|graph| drop(graph.initializer.pop()), "which isn't made before"),
        (|graph| graph.initializer[2].dims[0] += 1, "bytes"),
        (|graph| graph.initializer[2].data_type = element::UINT8, "bytes"),
        (|graph| graph.initializer.push(graph.initializer[2].clone()), "stands twice"),
        (|graph| graph.node.push(graph.node[2].clone()), "is made twice"),
        (|graph| drop(graph.node.pop()), "the output probabilities isn't made"),
    ];
    let whole = graph(&unet("group"));
    structure::check(&whole).expect("right");
    for (breaks, part) in broken {
        let mut graph = whole.clone();
        breaks(&mut graph);
        let error = structure::check(&graph).expect_err(part);
        assert!(error.message().contains(part), "{part}: {error}");
    }
    let mut graph = whole.clone();
    graph.initializer.push(graph.initializer[2].clone());
    graph.initializer.last_mut().expect("just added").name = "spare".into();
    assert!(structure::check(&graph).expect_err("unread").message().contains("nothing reads spare"));
}

fn check(network: &Network, graph: &GraphMessage) -> Result<Difference> {
    numbers::check(graph, network, values(network), &about(), [2, 16, 24])
}

#[test]
fn a_graph_that_computes_something_else_is_found() {
    for norm in ["group", "batch", "instance"] {
        let network = unet(norm);
        let whole = graph(&network);
        assert!(check(&network, &whole).expect("the same").probabilities < 1e-6);
        let find = |operator: &str| whole.node.iter().position(|node| node.op_type == operator).expect("there is one");
        let mut wrong = Vec::new();
        let mut breaks = |what: &'static str, change: &dyn Fn(&mut GraphMessage)| {
            let mut graph = whole.clone();
            change(&mut graph);
            wrong.push((what, graph));
        };
        let set = |operator: &mut Operator, attribute: Attribute| {
            operator
                .attribute
                .iter_mut()
                .filter(|known| known.name == attribute.name)
                .for_each(|known| *known = attribute.clone());
        };
        breaks("the skip after the upsampled map", &|graph| graph.node[find("Concat")].input.swap(0, 1));
        breaks("no ReLU", &|graph| "Cast".clone_into(&mut graph.node[find("Relu")].op_type));
        breaks("another slope", &|graph| "LeakyRelu".clone_into(&mut graph.node[find("Relu")].op_type));
        breaks("mean and deviation exchanged", &|graph| {
            let at = find("Sub");
            let names = [1, 0].map(|next| graph.node[at + next].input[1].clone());
            [0, 1].into_iter().for_each(|next| graph.node[at + next].input[1].clone_from(&names[next]));
        });
        breaks("another epsilon", &|graph| match norm {
            "batch" => set(&mut graph.node[find("BatchNormalization")], Attribute::float("epsilon", 1e-2)),
            _ => {
                let epsilon = graph.initializer.iter_mut().find(|tensor| tensor.name.ends_with("epsilon")).expect("one");
                epsilon.raw_data = 1e-2f32.to_le_bytes().to_vec();
            }
        });
        breaks("a kernel turned around", &|graph| {
            let raw = &mut graph.initializer.iter_mut().find(|tensor| tensor.name == "up.0.weight").expect("a weight").raw_data;
            raw.as_chunks_mut::<4>().0.reverse();
        });
        for (what, graph) in wrong {
            let error = check(&network, &graph).err();
            let error = error.unwrap_or_else(|| panic!("{norm} norm, {what}: not found"));
            assert!(error.message().contains("doesn't compute what the network does"), "{what}: {error}");
        }
    }
}

/// A network that is sure of every pixel makes of rounding what would be a mistake elsewhere.
#[test]
fn what_rounding_explains_is_no_mistake() {
    let network = unet("group");
    let mut values = values(&network);
    let head = network.layout.specs().iter().find(|spec| spec.name == "head.weight").expect("a head");
    values.trained[head.slot].iter_mut().for_each(|value| *value *= 1e5);
    let model = model(&network, &values, &about()).expect("a known structure");
    let found = numbers::check(&model.graph.expect("a graph"), &network, values, &about(), [1, 32, 48]);
    let found = found.expect("the same but for rounding");
    assert!(found.probabilities > 2e-5, "{found:?}");
}

/// Against values worked out by hand.
#[test]
fn the_interpreter_computes_what_onnx_says() {
    let run = |operator: &str, attribute: Vec<Attribute>, inputs: &[Array]| {
        let names: Vec<String> = (0..inputs.len()).map(|at| format!("x{at}")).collect();
        let (output, op_type) = (vec!["y".to_owned()], operator.to_owned());
        let node = vec![Operator { input: names.clone(), output, name: operator.to_owned(), op_type, attribute }];
        let graph = GraphMessage { node, ..GraphMessage::default() };
        let given = names.iter().map(String::as_str).zip(inputs.iter().cloned()).collect();
        let made = interpreter::run(&graph, given, &["y"], Arithmetic::Float64).expect("a known operator").swap_remove(0);
        (made.shape, made.values)
    };
    let array = |shape: &[usize], values: &[f64]| Array::new(shape, values.to_vec()).expect("as long as said");
    let counted = |shape: &[usize]| array(shape, &(0..shape.iter().product()).map(|at: usize| at as f64).collect::<Vec<_>>());
    let ones = |shape: &[usize]| Array::filled(shape, 1.0);

    let pads = [Attribute::ints("pads", &[1; 4]), Attribute::ints("strides", &[2; 2])].to_vec();
    let conv = run("Conv", pads, &[counted(&[1, 1, 4, 4]), ones(&[1, 1, 3, 3]), array(&[1], &[0.5])]);
    assert_eq!(conv, (vec![1, 1, 2, 2], vec![10.5, 24.5, 51.5, 90.5]));
    let dilated = [Attribute::ints("pads", &[2; 4]), Attribute::ints("dilations", &[2; 2])].to_vec();
    let corners = array(&[1, 1, 3, 3], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 100.0]);
    let conv = run("Conv", dilated, &[counted(&[1, 1, 3, 3]), corners]);
    assert_eq!(conv, (vec![1, 1, 3, 3], vec![800.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]));
    let double = || vec![Attribute::ints("kernel_shape", &[2; 2]), Attribute::ints("strides", &[2; 2])];
    let raised = run("ConvTranspose", double(), &[counted(&[1, 2, 1, 2]), counted(&[2, 1, 2, 2])]);
    assert_eq!(raised, (vec![1, 1, 2, 4], vec![8.0, 10.0, 12.0, 16.0, 12.0, 14.0, 20.0, 24.0]));
    let pooled = run("MaxPool", double(), &[counted(&[1, 1, 2, 4])]);
    assert_eq!(pooled, (vec![1, 1, 1, 2], vec![5.0, 7.0]));
    let mean = |axis| run("ReduceMean", vec![Attribute::ints("axes", &[axis])], &[counted(&[2, 1, 2, 3])]);
    assert_eq!(mean(3), (vec![2, 1, 2, 1], vec![1.0, 4.0, 7.0, 10.0]));
    assert_eq!(mean(2), (vec![2, 1, 1, 3], vec![1.5, 2.5, 3.5, 7.5, 8.5, 9.5]));
    let statistics = [[2.0, 1.0], [0.5, 7.0], [1.0, 5.0], [1.0, 1.0]].map(|values| array(&[2], &values));
    let maps = array(&[1, 2, 1, 2], &[0.0, 2.0, 5.0, 7.0]);
    let inputs = [&[maps], &statistics[..]].concat();
    let normed = run("BatchNormalization", vec![Attribute::float("epsilon", 3.0)], &inputs);
    assert_eq!(normed, (vec![1, 2, 1, 2], vec![-0.5, 1.5, 7.0, 8.0]));
    let reshaped = run("Reshape", Vec::new(), &[counted(&[2, 4, 1, 1]), array(&[4], &[0.0, 2.0, 2.0, 1.0])]);
    assert_eq!(reshaped.0, [2, 2, 2, 1]);
    let repeated = run("Expand", Vec::new(), &[counted(&[1, 2, 1, 1]), array(&[4], &[1.0, 1.0, 2.0, 1.0])]);
    assert_eq!(repeated, (vec![1, 2, 2, 1], vec![0.0, 0.0, 1.0, 1.0]));
    let joined = run("Concat", vec![Attribute::int("axis", 1)], &[counted(&[2, 1, 1, 1]), ones(&[2, 2, 1, 1])]);
    assert_eq!(joined, (vec![2, 3, 1, 1], vec![0.0, 1.0, 1.0, 1.0, 1.0, 1.0]));
    let scaled = run("Mul", Vec::new(), &[counted(&[1, 2, 1, 2]), array(&[2, 1, 1], &[1.0, 10.0])]);
    assert_eq!(scaled, (vec![1, 2, 1, 2], vec![0.0, 1.0, 20.0, 30.0]));
    let softmax = run("Softmax", vec![Attribute::int("axis", 1)], &[array(&[1, 2, 1, 1], &[0.0, 3.0f64.ln()])]);
    assert_eq!(softmax.1.into_iter().map(|value| (value * 4.0).round()).collect::<Vec<_>>(), [1.0, 3.0]);
    assert_eq!(run("LeakyRelu", vec![Attribute::float("alpha", 0.5)], &[array(&[2], &[-4.0, 4.0])]).1, [-2.0, 4.0]);
    assert_eq!(run("Mean", Vec::new(), &[array(&[1], &[1.0]), array(&[1], &[4.0])]).1, [2.5]);
}

/// Numbers in the metadata are those of the model's JSON, not their float32 neighbours.
#[test]
fn metadata_is_json_that_can_be_read() {
    let model = read(&unet("batch"), &about());
    let normalization = model.metadata_props.iter().find(|entry| entry.key == "normalization").expect("an entry");
    let value: Value = serde_json::from_str(&normalization.value).expect("JSON");
    assert_eq!(value["mean"], json!([0.4, 0.5, 0.6]));
}

#[test]
fn a_structure_that_onnx_cant_say_is_refused_by_its_block() {
    let mut b = Builder::default();
    b.block("joint");
    let convolutions = ["a", "b"].map(|name| Convolution::new(&mut b.layout, name, 3, 2));
    let maps = convolutions.map(|layer| b.layer(layer, &[Builder::IMAGES]));
    let norm = Norm::new(&mut b.layout, "norm", 4, NormOptions::new(NormKind::Group), Activation::Relu);
    let both = b.norm(norm, &maps);
    // A sum would add the two maps of the norm to each other.
    let sum = b.layer(Sum { activation: Activation::Identity }, &[both]);
    let head = Head::new(&mut b.layout, "head", 2, 1);
    let logits = b.layer(head, &[sum]);
    let network = b.finish("a network".into(), Vec::new(), Heads::single(logits, 1), 1);
    let error = model(&network, &values(&network), &about()).expect_err("no translation");
    assert!(error.message().contains("joint can't be written as ONNX") && error.mend().is_some(), "{error}");
}
