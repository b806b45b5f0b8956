//! `verify` against the PyTorch fixtures: they pass, a changed one fails, a broken one is an error and never a panic.
//! Without the fixtures beside this checkout only the broken ones are tried, and that is said.
#![allow(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]

mod common;

use std::path::Path;

use common::fixtures;
use pipeline_training::Precision;
use pipeline_training::verify;
use safetensors::SafeTensors;

/// A copy of the fixture with one byte of a tensor's values changed.
fn changed(from: &Path, tensor: &str, to: &Path) {
    let mut bytes = std::fs::read(from).expect("the fixture");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let at = file.tensor(tensor).expect("the tensor").data().as_ptr() as usize - bytes.as_ptr() as usize;
    // The exponent of the first float: a factor of 2 to some power.
    bytes[at + 3] ^= 1;
    std::fs::write(to, bytes).expect("written");
}

#[test]
fn the_fixtures_pass() {
    let Some(folder) = fixtures() else { return eprintln!("skipped: no fixtures beside this checkout") };
    for (name, precision) in ["unet_group", "unet_batch"].into_iter().flat_map(|name| Precision::ALL.map(|one| (name, one))) {
        let report = verify(&folder.join(format!("{name}.safetensors")), "cpu", precision).expect("a reference");
        assert!(report.ok(), "{}", report.all());
        assert!(report.rows.len() > 150 && report.worst().len() == 12, "{report}");
    }
}

#[test]
fn a_changed_fixture_fails() {
    let Some(folder) = fixtures() else { return eprintln!("skipped: no fixtures beside this checkout") };
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("changed.safetensors");
    for (tensor, group) in [("grad.down.1.conv2.weight", "grad"), ("full.head.weight", "full.weights"), ("logits", "logits")] {
        changed(&folder.join("unet_group.safetensors"), tensor, &path);
        let report = verify(&path, "cpu", Precision::Float32).expect("still a reference");
        let failed: Vec<_> = report.rows.iter().filter(|row| !row.ok()).map(|row| row.group.as_str()).collect();
        assert_eq!(failed, [group], "{tensor}");
    }
    changed(&folder.join("unet_group.safetensors"), "init.down.0.conv1.weight", &path);
    assert!(!verify(&path, "cpu", Precision::Float32).expect("still a reference").ok());
}

#[test]
fn broken_files_are_errors() {
    let temporary = tempfile::tempdir().expect("a folder");
    let path = temporary.path().join("broken.safetensors");
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let about = |base: &str, depth: &str, norm: &str, size: &str| {
        header(&format!(r#"{{"__metadata__":{{"base":"{base}","depth":"{depth}","norm":"{norm}","size":"{size}"}}}}"#))
    };
    for (bytes, part) in [
        (Vec::new(), "not a safetensors file"),
        (vec![255; 64], "not a safetensors file"),
        (header("{}"), "has no base"),
        (about("x", "3", "group", "32"), "no whole number"),
        (about("8", "3", "layer", "32"), "no norm named"),
        (about("99999999", "3", "group", "32"), "out of bounds"),
        (about("8", "3", "group", "30"), "not divisible by 4"),
        (about("512", "8", "group", "128"), "no tensor"),
        (about("8", "3", "group", "4611686018427387904"), "no tensor"),
    ] {
        std::fs::write(&path, bytes).expect("written");
        let error = verify(&path, "cpu", Precision::Float32).expect_err(part);
        assert!(error.message().contains(part), "{error} lacks {part:?}");
    }
    let Some(folder) = fixtures() else { return eprintln!("skipped: no fixtures beside this checkout") };
    let whole = std::fs::read(folder.join("unet_batch.safetensors")).expect("the fixture");
    for length in [7, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).expect("written");
        verify(&path, "cpu", Precision::Float32).expect_err("half a file");
    }
}
