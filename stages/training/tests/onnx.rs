//! Every network of the program, and one of a user's own, as ONNX files: what is written computes what the network does. With
//! `PIPELINE_PYTHON`, a Python that has onnx, onnxruntime and safetensors, onnxruntime says so too. `PIPELINE_ONNX` names a folder
//! that keeps the files.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::{DType, Tensor, TensorData};
use common::cpu;
use pipeline_contract::stage_rng;
use pipeline_images::Normalization;
use pipeline_kernels::Term;
use pipeline_training::layer::{
    Activation, Convolution, Geometry, Head, MaxPool, MeanLogits, Norm, NormKind, NormOptions, Sum, UpsampleNearest,
};
use pipeline_training::loss::Loss;
use pipeline_training::memory::Ledger;
use pipeline_training::micro_batch::{MicroBatch, Pixels};
use pipeline_training::network::{Builder, Heads, Network, NodeId};
use pipeline_training::networks;
use pipeline_training::onnx::{About, write};
use pipeline_training::parameters::{Init, Role, State};
use pipeline_training::policy::Setting;
use pipeline_training::sliding::to_probabilities;
use pipeline_training::trainee::Trainee;
use rand::RngExt as _;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

fn build(name: &str, norm: &str, depth: usize, classes: usize, more: Value) -> Network {
    let mut options = json!({
        "base": 4, "depth": depth, "norm": norm, "groups": 2, "eps": 1e-4, "momentum": 1.0, "classes": classes,
    });
    if let (Some(options), Value::Object(more)) = (options.as_object_mut(), more) {
        options.extend(more);
    }
    networks::build(&Value::Object(Map::from_iter([(name.to_owned(), options)]))).expect("a network")
}

/// Every kind of network with every norm and option.
fn all() -> Vec<(String, Network)> {
    let mut all = vec![("own".to_owned(), own())];
    for norm in NormKind::NAMES {
        for classes in [1, 3] {
            let mut add = |name: &str, depth, more: Value, which: &str| {
                let network = build(name, norm, depth, classes, more);
                all.push((format!("{name}{which}_{norm}_{classes}"), network));
            };
            add("unet", 3, json!({"deep_supervision": false}), "");
            add("unet", 3, json!({"deep_supervision": true}), "_deep");
            add("resunet", 3, json!({}), "");
            add("wnet", 2, json!({"feed": "probabilities"}), "_probabilities");
            add("wnet", 2, json!({"feed": "logits"}), "_logits");
            add("frunet", 3, json!({}), "");
        }
    }
    all.push(("unet_one_level".to_owned(), build("unet", "group", 1, 1, json!({"deep_supervision": false}))));
    all.push(("frunet_two_levels".to_owned(), build("frunet", "batch", 2, 1, json!({}))));
    // A group for each channel.
    let groups = json!({"deep_supervision": false, "groups": 512});
    all.push(("unet_channels".to_owned(), build("unet", "group", 2, 1, groups)));
    all
}

/// A network with what the program's own don't have: a norm whose groups lie across two maps, which are also read without it; an
/// activation after a sum of three; a convolution used twice; a leaky activation in a convolution; a head that nothing reads.
fn own() -> Network {
    let mut b = Builder::default();
    b.block("stem");
    let groups = NormOptions { groups: 2, ..NormOptions::new(NormKind::Group) };
    let leaky = Activation::LeakyRelu(0.2);
    let conv = |b: &mut Builder, name: &str, channels, geometry, activation, inputs: &[NodeId]| {
        let layer = Convolution::of(&mut b.layout, name, channels, geometry).with_bias(&mut b.layout, name, activation);
        b.layer(layer, inputs)
    };
    let near = conv(&mut b, "stem.near", [3, 2], Geometry::THREE, leaky, &[Builder::IMAGES]);
    let wide = conv(&mut b, "stem.wide", [3, 4], Geometry::THREE_DILATION_2, Activation::Identity, &[Builder::IMAGES]);
    let norm = Norm::new(&mut b.layout, "stem.norm", 6, groups, leaky);
    let both = b.norm(norm, &[near, wide]);
    b.block("body");
    let x = conv(&mut b, "body.first", [12, 4], Geometry::THREE, Activation::Relu, &[both, near, wide]);
    let again = Convolution::of(&mut b.layout, "body.again", [4, 4], Geometry::THREE);
    let once = b.layer(again, &[x]);
    let twice = b.layer(again, &[once]);
    let x = b.layer(Sum { activation: Activation::Relu }, &[x, once, twice]);
    let pooled = b.layer(MaxPool, &[x]);
    let small = b.layer(UpsampleNearest, &[pooled]);
    let x = conv(&mut b, "body.down", [4, 5], Geometry::TWO_STRIDE_2, Activation::Identity, &[small]);
    let x = b.layer(UpsampleNearest, &[x]);
    b.block("heads");
    let mut head = |name: &str, map, channels| {
        let head = Head::new(&mut b.layout, name, channels, 2);
        b.layer(head, &[map])
    };
    let heads = [head("heads.a", x, 5), head("heads.b", wide, 4)];
    head("heads.unread", x, 5);
    let logits = b.layer(MeanLogits { count: 2 }, &heads);
    b.finish("a network of the user's own".into(), vec![("network".into(), "own".into())], Heads::single(logits, 2), 2)
}

fn random(
    network: &Network,
    (batch, height, width): (usize, usize, usize),
    seed: u64,
    normalization: Normalization,
) -> MicroBatch {
    let mut rng = stage_rng(seed, 0, "photographs", "test");
    let pixels = height * width;
    let values = (0..batch * 3 * pixels).map(|_| rng.random()).collect();
    let masks = (0..batch * pixels).map(|_| rng.random_range(0..network.classes as u8)).collect();
    MicroBatch { samples: common::names(0..batch), height, width, pixels: Pixels::Bytes(values, normalization), masks }
}

/// Norms that do something. Running statistics are those of real maps, or else a deep layer would hardly show in the logits.
fn state(network: &Network, about: &About) -> State {
    let mut state = State::fresh(&network.layout, &cpu(), |name| stage_rng(1, 0, name, "weights")).expect("small");
    for spec in network.layout.of(Role::Trained) {
        let start = match spec.init {
            Init::One => 0.5,
            Init::Zero => -0.5,
            Init::Uniform { .. } => continue,
        };
        let mut rng = stage_rng(2, 0, &spec.name, "norms");
        let values: Vec<f32> = (0..spec.elements().expect("small")).map(|_| start + rng.random::<f32>()).collect();
        let shape = [values.len()];
        state.trained[spec.slot] = Tensor::from_data(TensorData::new(values, shape), (&cpu(), DType::F32));
    }
    let mut trainee = trainee(network, state);
    trainee.add_or_retry(random(network, (2, 32, 32), 4, about.normalization)).expect("images that fit");
    trainee.state.clone()
}

fn trainee(network: &Network, state: State) -> Trainee {
    let loss = if network.classes == 1 { Loss::default() } else { Loss::of([Term::CrossEntropy]) };
    Trainee::new(network.clone(), state, loss, Setting::default(), Ledger::default()).expect("no limit")
}

fn about(network: &Network) -> About {
    let names = (0..network.classes.max(2)).map(|class| format!("class {class}")).collect();
    About {
        normalization: Normalization { mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25] },
        classes: names,
        threshold: Some(0.25),
        input: Some([1024, 768]),
        model: Some(r#"{"epoch": 7}"#.into()),
    }
}

/// Random photographs `[batch, 3, height, width]` of two sizes, and the network's probabilities, as safetensors.
fn keep(network: &Network, state: &State, about: &About, path: &Path) {
    let mut kept: Vec<(String, Dtype, [usize; 4], Vec<u8>)> = Vec::new();
    let mut trainee = trainee(network, state.clone());
    for (at, (batch, height, width)) in [(2, 48, 32), (1, 24, 80)].into_iter().enumerate() {
        let (images, pixels) = (random(network, (batch, height, width), 5, about.normalization), height * width);
        let Pixels::Bytes(bytes, _) = &images.pixels else { panic!("bytes are drawn") };
        // From colours last to colours first.
        let plane = |at: usize| bytes[(at / (3 * pixels) * pixels + at % pixels) * 3 + at / pixels % 3];
        let planes: Vec<u8> = (0..bytes.len()).map(plane).collect();
        let mut values = trainee.predict(&images).expect("images that fit");
        values.chunks_mut(pixels * network.classes).for_each(|image| to_probabilities(image, network.classes));
        let values = values.into_iter().flat_map(f32::to_le_bytes).collect();
        kept.push((format!("image.{at}"), Dtype::U8, [batch, 3, height, width], planes));
        kept.push((format!("probabilities.{at}"), Dtype::F32, [batch, network.classes, height, width], values));
    }
    let view = |(name, dtype, shape, bytes)| (name, TensorView::new(dtype, Vec::from(shape), bytes).expect("as long as said"));
    let views: Vec<_> = kept.iter().map(|(name, dtype, shape, bytes)| view((name, *dtype, *shape, bytes))).collect();
    std::fs::write(path, safetensors::serialize(views, None).expect("tensors")).expect("a folder");
}

#[test]
fn onnx_files_give_the_probabilities_of_every_network() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = std::env::var_os("PIPELINE_ONNX").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    for (name, network) in all() {
        let about = about(&network);
        let state = state(&network, &about);
        let path = folder.join(format!("{name}.onnx"));
        let written = write(&network, &state, &about, &path).expect("a network that can be written");
        eprintln!("{name}: {} operators, probabilities differ by {:.1e}", written.operators, written.difference);
        let bytes = std::fs::read(&path).expect("a file");
        assert_eq!(bytes.len() as u64, written.bytes);
        write(&network, &state, &about, &path).expect("again");
        assert!(bytes == std::fs::read(&path).expect("a file"), "{name}: equal networks give equal bytes");
        keep(&network, &state, &about, &path.with_extension("safetensors"));
    }
    let found = std::env::var_os("PIPELINE_PYTHON").filter(|python| {
        let imports = Command::new(python).args(["-c", "import onnx, onnxruntime, safetensors"]).output();
        imports.is_ok_and(|output| output.status.success())
    });
    let Some(python) = found else {
        eprintln!("skipped: onnxruntime; PIPELINE_PYTHON names no Python that has onnx, onnxruntime and safetensors");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pytorch/run_onnx.py");
    let output = Command::new(python).arg(script).arg(&folder).output().expect("a Python");
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "onnxruntime gives other probabilities");
}

#[test]
fn what_cant_be_an_onnx_file_is_refused_and_leaves_the_old_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, "old").expect("a folder");
    let network = build("unet", "group", 2, 1, json!({"deep_supervision": false}));
    let refused = |network: &Network, state: &State, about: &About, part: &str| {
        let error = write(network, state, about, &path).expect_err(part);
        assert!(error.message().contains(part) && error.message().contains("model.onnx"), "{error}");
        assert!(error.mend().is_some(), "{error}");
        assert_eq!(std::fs::read(&path).expect("the old file"), b"old");
    };
    let said = about(&network);
    let good = state(&network, &said);
    let large = networks::build(&json!({"unet": {
        "base": 512, "depth": 5, "norm": "group", "groups": 8, "eps": 1e-5, "momentum": 0.1, "classes": 1, "deep_supervision": false,
    }}));
    refused(&large.expect("a network"), &good, &said, "at most 2 GiB");
    let other = build("unet", "group", 2, 3, json!({"deep_supervision": false}));
    refused(&other, &good, &about(&other), "head.weight has 4 values, but the network expects [3, 4, 1, 1]");
    let three = About { classes: vec!["a".into(), "b".into(), "c".into()], ..said.clone() };
    refused(&network, &good, &three, "there are 3 names for 2 classes");
    let flat = About { normalization: Normalization { std: [0.0, 1.0, 1.0], ..said.normalization }, ..said.clone() };
    refused(&network, &good, &flat, "can't be normalised");
    let mut broken = good.clone();
    broken.trained[0] = Tensor::full([broken.trained[0].dims()[0]], f32::NAN, (&cpu(), DType::F32));
    refused(&network, &broken, &said, "doesn't compute what the network does");
}
