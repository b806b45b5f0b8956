//! What the tests of this crate share: small networks, random samples, and stages built with their defaults.
//! No test is here.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used, reason = "each test file uses a part; tests may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use pipeline_contract::{DefaultValue, OptionSpec, OptionType, StageKind, stage_rng};
use pipeline_images::Normalization;
use pipeline_training::loss::Loss;
use pipeline_training::memory::Ledger;
use pipeline_training::micro_batch::{MicroBatch, Pixels};
use pipeline_training::networks::UNetConfig;
use pipeline_training::parameters::State;
use pipeline_training::policy::Setting;
use pipeline_training::trainee::{Shared, Trainee};
use pipeline_training::window::{Gradients, Window};
use rand::RngExt as _;
use serde_json::{Map, Value};

/// The CPU.
pub fn cpu() -> Device {
    pipeline_training::device::open("cpu").expect("the CPU").device
}

/// A fresh network.
pub fn network(base: usize, depth: usize, norm: &str) -> Shared {
    let network = UNetConfig::new(base, depth, norm).expect("a valid size").network();
    let state = State::fresh(&network.layout, &cpu(), |name| stage_rng(1, 0, name, "weights")).expect("small");
    let trainee = Trainee::new(network, state, Loss::default(), Setting::default(), Ledger::default());
    Shared::new(trainee.expect("no limit"))
}

/// Random images and masks of `size` x `size`, named `s0`, `s1`, ...
pub fn samples(count: usize, size: usize, seed: u64) -> MicroBatch {
    let mut rng = stage_rng(seed, 0, "samples", "test");
    let pixels = (0..count * 3 * size * size).map(|_| rng.random()).collect();
    let masks = (0..count * size * size).map(|_| 255 * u8::from(rng.random::<f32>() < 0.3)).collect();
    MicroBatch { samples: names(0..count), height: size, width: size, pixels: Pixels::Floats(pixels), masks }
}

/// The same images as 8-bit pixels, which a normalisation makes floats of again.
pub fn as_bytes(batch: &MicroBatch) -> MicroBatch {
    let Pixels::Floats(floats) = &batch.pixels else { panic!("floats are drawn") };
    let pixels = batch.height * batch.width;
    let byte = |image: &[f32], at: usize, channel: usize| (image[channel * pixels + at] * 255.0) as u8;
    let image = |image: &[f32]| -> Vec<u8> { (0..3 * pixels).map(|at| byte(image, at / 3, at % 3)).collect() };
    let bytes = floats.chunks(3 * pixels).flat_map(image).collect();
    let normalization = Normalization { mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.25] };
    MicroBatch { pixels: Pixels::Bytes(bytes, normalization), ..batch.clone() }
}

/// Samples `from..to` of a micro-batch.
pub fn part(batch: &MicroBatch, from: usize, to: usize) -> MicroBatch {
    let pixels = batch.height * batch.width;
    let Pixels::Floats(floats) = &batch.pixels else { panic!("floats are drawn") };
    MicroBatch {
        samples: batch.samples[from..to].to_vec(),
        pixels: Pixels::Floats(floats[3 * from * pixels..3 * to * pixels].to_vec()),
        masks: batch.masks[from * pixels..to * pixels].to_vec(),
        ..*batch
    }
}

/// Adds a micro-batch to the network's open window.
pub fn add(network: &Shared, window: &mut Option<Window>, batch: MicroBatch) {
    let samples = batch.samples.clone();
    network.lock().expect("no panic before").add_or_retry(batch).expect("images that fit");
    Window::gather(window, Gradients { samples, network: network.clone() });
}

/// The gradients of the sum of the losses of a micro-batch, and the losses.
pub fn gradients(network: &Shared, batch: &MicroBatch) -> (Vec<Vec<f32>>, Vec<f32>) {
    add(network, &mut None, batch.clone());
    let mut trainee = network.lock().expect("no panic before");
    let values = |tensor: &burn::tensor::Tensor<1>| tensor.try_to_vec_as::<f32>().expect("float32");
    let all = trainee.gradients().iter().map(values).collect();
    let losses = trainee.losses().iter().flat_map(values).collect();
    trainee.close().expect("on the CPU");
    (all, losses)
}

/// Ids of samples.
pub fn names(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
    range.map(|at| format!("s{at}").into()).collect()
}

/// All trained values of a network.
pub fn weights(network: &Shared) -> Vec<f32> {
    let trainee = network.lock().expect("no panic before");
    trainee.state.trained.iter().flat_map(|tensor| tensor.try_to_vec_as::<f32>().expect("float32")).collect()
}

/// The largest difference.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The parity fixtures, where this checkout has them.
pub fn fixtures() -> Option<PathBuf> {
    let folder = match std::env::var_os("PIPELINE_PARITY") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity"),
    };
    folder.join("unet_group.safetensors").exists().then_some(folder)
}

/// The fixtures in a folder, without their ending.
pub fn fixture_names(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".safetensors")?.to_owned()));
    names.filter(|name| wanted(name)).collect()
}

/// The options that a kind's stage sees for `given`: with every default filled in, as the reading of a file does.
pub fn options(kind: &StageKind, given: Value) -> Value {
    fill(&kind.options, given)
}

fn fill(specs: &[OptionSpec], given: Value) -> Value {
    let Value::Object(mut given) = given else { panic!("a mapping is wanted, not {given}") };
    let mut filled = Map::new();
    for spec in specs {
        let value = match (given.remove(spec.name), &spec.default) {
            (Some(value), _) => value,
            (None, DefaultValue::Value(value) | DefaultValue::Key(_, value)) => value.clone(),
            (None, DefaultValue::Absent) => continue,
            (None, DefaultValue::Required) => panic!("{} is required", spec.name),
        };
        filled.insert(spec.name.into(), nested(&spec.ty, value));
    }
    assert!(given.is_empty(), "unknown options {given:?}");
    Value::Object(filled)
}

fn nested(ty: &OptionType, value: Value) -> Value {
    match (ty, value) {
        (OptionType::Group(specs), value) => fill(specs, value),
        (OptionType::Variant(variants), Value::Object(map)) => {
            let (name, value) = map.into_iter().next().expect("one variant");
            let variant = variants.iter().find(|variant| variant.name == name).expect("a known variant");
            Value::Object(Map::from_iter([(name, fill(&variant.options, value))]))
        }
        (_, value) => value,
    }
}
