//! Weights to a file and back, the checksum, and files of other networks.
//! The names against PyTorch's are in `verify.rs`.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use common::{cpu, gradients, network, samples, weights};
use pipeline_training::model::load as load_file;
use pipeline_training::networks::UNetConfig;
use pipeline_training::weights::save;

#[test]
fn what_is_saved_is_loaded_and_has_one_checksum() {
    let folder = tempfile::tempdir().expect("a folder");
    for norm in ["group", "batch", "instance"] {
        let shared = network(4, 3, norm);
        // Moves the running statistics and their counters.
        gradients(&shared, &samples(2, 16, 2));
        let before = weights(&shared);
        let (first, second) = (folder.path().join("first.safetensors"), folder.path().join("second.safetensors"));
        let mut trainee = shared.lock().expect("no panic before");
        let saved = save(&trainee.network, &trainee.state, Vec::new(), &first).expect("written");
        let state = load_file(&trainee.network, &first, &cpu()).expect("the same network");
        assert_eq!(state.counters, trainee.state.counters);
        assert_eq!(saved, save(&trainee.network, &state, Vec::new(), &second).expect("written"));
        assert_eq!(saved.sha256.len(), 64);
        trainee.state = state;
        drop(trainee);
        assert_eq!(before, weights(&shared));
        assert_eq!(saved.parameters, before.len());
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 2, "no temporary file stays");
    }
}

#[test]
fn files_of_other_networks_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.safetensors");
    let shared = network(4, 2, "batch");
    let trainee = shared.lock().expect("no panic before");
    save(&trainee.network, &trainee.state, Vec::new(), &path).expect("written");
    for (base, depth, norm, part) in [
        (8, 2, "batch", "down.0.conv1.weight has shape [4, 3, 3, 3], but the network expects [8, 3, 3, 3]"),
        (4, 3, "batch", "has no tensor down.2.conv1.weight"),
        (4, 1, "batch", "head.weight"),
        (4, 2, "group", "the network has no tensor decode.0.norm1.num_batches_tracked"),
    ] {
        let other = UNetConfig::new(base, depth, norm).expect("a valid size").network();
        let error = load_file(&other, &path, &cpu());
        if part == "head.weight" {
            assert!(error.is_err());
            continue;
        }
        let error = error.expect_err(part);
        assert!(error.message().contains(part) && error.message().contains("model.safetensors"), "{error}");
    }
}

#[test]
fn fresh_weights_are_pytorchs_in_law() {
    let shared = network(8, 2, "group");
    let trainee = shared.lock().expect("no panic before");
    for (spec, tensor) in trainee.network.layout.specs().iter().zip(&trainee.state.trained) {
        let values = tensor.try_to_vec_as::<f32>().expect("float32");
        let bound = match spec.name.as_str() {
            "down.0.conv1.weight" => (1.0f32 / 27.0).sqrt(),
            // The fan of a transposed convolution counts its outputs.
            "up.0.weight" | "up.0.bias" => (1.0f32 / 32.0).sqrt(),
            "head.weight" | "head.bias" => (1.0f32 / 8.0).sqrt(),
            _ => continue,
        };
        let largest = values.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(largest <= bound && (values.len() < 100 || largest > 0.95 * bound), "{}: {largest} of {bound}", spec.name);
    }
}
