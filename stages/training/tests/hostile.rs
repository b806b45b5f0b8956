//! Files and options that are meant to break the training stages: refused with a reason, before memory is taken for them.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use std::path::Path;

use common::cpu;
use pipeline_contract::Facts;
use pipeline_training::Precision;
use pipeline_training::model::load as load_file;
use pipeline_training::network::Network;
use pipeline_training::networks::UNetConfig;
use pipeline_training::verify::verify_bytes;
use pipeline_training::weights::{parse, read};
use serde_json::json;

fn network() -> Network {
    UNetConfig::new(2, 2, "group").expect("a valid size").network()
}

/// A safetensors file of this header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn a_header_that_lies_is_refused() {
    for (length, part) in
        [(u64::MAX, "header would be of"), (1 << 40, "header would be of"), (1 << 19, "not a safetensors file")]
    {
        let error = parse(&length.to_le_bytes()).expect_err("no header");
        assert!(error.message().contains(part), "{error}");
    }
    let tensor =
        |shape: &str, offsets: &str| format!(r#"{{"head.bias":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#);
    for (shape, offsets, data) in [
        ("[1]", "[0,8]", 4),
        ("[1]", "[0,18446744073709551615]", 4),
        ("[4294967296,4294967296,16]", "[0,0]", 0),
        ("[18446744073709551615]", "[0,4]", 4),
        ("[2]", "[4,0]", 4),
        ("[1]", "[0,4]", 400),
    ] {
        let bytes = file(&tensor(shape, offsets), data);
        assert!(read(&network(), &bytes, &cpu()).is_err(), "{shape} {offsets}");
        assert!(verify_bytes(&bytes, "cpu", Precision::Float32).is_err(), "{shape} {offsets}");
    }
    assert!(parse(&file(&" ".repeat(2 << 20), 0)).is_err());
}

#[test]
fn a_reference_of_an_endless_size_is_refused() {
    let endless = "18446744073709551615";
    for (base, depth, size) in
        [("1", "1", endless), ("1", "3", endless), ("512", "8", "128"), ("99", "1", "8"), ("1", "0", "8"), ("1", "1", "0")]
    {
        for norm in ["group", "batch", "instance", "none"] {
            let metadata =
                format!(r#"{{"__metadata__":{{"base":"{base}","depth":"{depth}","size":"{size}","norm":"{norm}"}}}}"#);
            assert!(verify_bytes(&file(&metadata, 0), "cpu", Precision::Float32).is_err(), "{base} {depth} {size} {norm}");
        }
    }
}

#[test]
fn a_file_larger_than_the_networks_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sparse.safetensors");
    std::fs::File::create(&path).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    let error = load_file(&network(), &path, &cpu()).expect_err("a terabyte");
    assert!(error.message().contains("1099511627776 bytes, more than"), "{error}");
    let error = load_file(&network(), folder.path(), &cpu()).expect_err("a folder");
    assert!(error.message().contains("a folder"), "{error}");
    if cfg!(unix) {
        let error = load_file(&network(), Path::new("/dev/zero"), &cpu()).expect_err("a device");
        assert!(error.message().contains("no regular file"), "{error}");
    }
}

#[test]
fn endless_images_and_batches_are_weighed_without_overflow() {
    for norm in ["group", "batch", "instance"] {
        let network = UNetConfig::new(1, 1, norm).expect("a valid size").network();
        assert!(network.accepts(usize::MAX, usize::MAX, usize::MAX).is_ok(), "{norm}");
    }
}

#[test]
fn weights_are_only_written_inside_the_runs_folder() {
    let kinds = pipeline_training::kinds();
    let export = kinds.iter().find(|kind| kind.name == "export").expect("it ships");
    for (file, refused) in [
        ("model.safetensors", 0),
        ("weights/last.safetensors", 0),
        ("/tmp/model.safetensors", 1),
        ("../model.safetensors", 1),
        ("a/../../model.safetensors", 1),
        ("resolved.yml", 1),
        (".safetensors", 1),
        ("..", 1),
    ] {
        let checked = export
            .run_check(&json!({"file": file, "last": "last.safetensors", "onnx": false}), &[Facts::default()])
            .expect("it checks");
        assert_eq!(checked.findings.len(), refused, "{file}");
    }
}

#[test]
fn the_fuzzers_seeds_are_read() {
    let seed = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/safetensors").join(name);
        std::fs::read(path).expect("a seed")
    };
    for (base, depth, norm) in [(1, 1, "group"), (1, 2, "batch"), (2, 2, "instance")] {
        let network = UNetConfig::new(base, depth, norm).expect("a valid size").network();
        read(&network, &seed(norm), &cpu()).expect("the network's own");
    }
    for norm in ["group", "batch"] {
        let report = verify_bytes(&seed(&format!("reference_{norm}")), "cpu", Precision::Float32).expect("a reference");
        assert!(!report.ok(), "its values are made up");
    }
}
