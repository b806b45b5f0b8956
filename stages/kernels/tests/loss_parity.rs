//! The losses against PyTorch's in float64, from the fixtures in ../shared/parity beside the project. Skipped without them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use pipeline_kernels::{Area, Targets, Term, WeightedTerm, loss, loss_workspace, target_at};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The largest relative error of a loss, and of a sample's gradient in L2.
const LOSS: f64 = 3e-6;
const GRADIENT: f64 = 5e-6;

/// The folder of the fixtures, of which `PIPELINE_PARITY` may name another; says on stderr when there is none.
fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("PIPELINE_PARITY") {
        Some(folder) => PathBuf::from(folder).join("fixtures2"),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity/fixtures2"),
    };
    if !folder.is_dir() {
        eprintln!("skipped: no folder {}", folder.display());
        return None;
    }
    Some(folder)
}

/// A tensor's shape and its values.
fn tensor(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f64>) {
    let tensor = file.tensor(name).unwrap();
    let data = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
        Dtype::F64 => data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        Dtype::I64 => data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
        dtype => panic!("{name} is {dtype:?}"),
    };
    (tensor.shape().to_vec(), values)
}

fn bytes(values: &[f64]) -> Vec<u8> {
    values.iter().map(|value| *value as u8).collect()
}

/// The terms of a fixture, as its metadata say them.
fn terms(data: &[u8]) -> Vec<WeightedTerm> {
    let (_, header) = SafeTensors::read_metadata(data).unwrap();
    let config: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["config"]).unwrap();
    let options = &config["options"];
    let number = |key: &str| options[key].as_f64().map(|value| value as f32);
    let bce = Term::Bce { pos_weight: number("pos_weight").unwrap_or(1.0) };
    let [alpha, beta, gamma] = ["alpha", "beta", "gamma"].map(number);
    let of = |term| vec![(1.0, term)];
    let terms = match config["loss"].as_str().unwrap() {
        "bce" => of(bce),
        "dice" => of(Term::Dice),
        "bce_dice" => vec![(1.0, bce), (1.0, Term::Dice)],
        "focal" => of(Term::Focal { gamma: gamma.unwrap(), alpha }),
        "tversky" => of(Term::Tversky { alpha: alpha.unwrap(), beta: beta.unwrap() }),
        "focal_tversky" => of(Term::FocalTversky { alpha: alpha.unwrap(), beta: beta.unwrap(), gamma: gamma.unwrap() }),
        "cldice_dice" => {
            let centrelines = Term::ClDice { iterations: options["iterations"].as_u64().unwrap() as usize };
            vec![(1.0 - alpha.unwrap(), Term::Dice), (alpha.unwrap(), centrelines)]
        }
        "ce_dice" => {
            let background = options["background"].as_bool().unwrap();
            vec![(1.0, Term::CrossEntropy), (1.0, Term::ClassDice { background })]
        }
        other => panic!("a loss named {other}"),
    };
    terms.into_iter().map(|(weight, term)| WeightedTerm { term, weight }).collect()
}

fn assert_parity(name: &str, data: &[u8]) {
    let file = SafeTensors::deserialize(data).unwrap();
    let terms = terms(data);
    let (shape, logits) = tensor(&file, "logits");
    let &[batch, classes, height, width] = &shape[..] else { panic!("logits of {shape:?}") };
    let area = Area { batch, height, width };
    let mut labels = bytes(&tensor(&file, "masks").1);
    if classes == 1 {
        labels.iter_mut().for_each(|y| *y *= 255);
    }
    let targets = Targets { labels: &labels, classes, ignore: Some(255) };
    let mut workspace = vec![0.0; loss_workspace(&terms, classes, area)];
    let (mut z, mut losses): (Vec<f32>, _) = (logits.iter().map(|z| *z as f32).collect(), vec![0.0; batch]);
    loss(&terms, &mut z, targets, area, 1.0, &mut losses, &mut workspace);

    for (sample, (loss, right)) in losses.iter().zip(tensor(&file, "sample_losses").1).enumerate() {
        let error = (f64::from(*loss) - right).abs() / right.abs().max(1e-12);
        eprintln!("{name}, sample {sample}: loss {loss}, error {error:.1e}");
        assert!(error < LOSS, "{name}, sample {sample}: {loss} for {right}");
    }
    let right = tensor(&file, "grad.logits").1;
    let size = area.values(classes) / batch;
    for (sample, (gradient, right)) in z.chunks(size).zip(right.chunks(size)).enumerate() {
        let error = gradient.iter().zip(right).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>().sqrt();
        let norm = right.iter().map(|b| b * b).sum::<f64>().sqrt();
        eprintln!("{name}, sample {sample}: gradient {norm:.1e}, error {:.1e}", error / norm.max(1e-300));
        assert!(error <= GRADIENT * norm, "{name}, sample {sample}: {error} off a gradient of {norm}");
    }
}

#[test]
fn every_loss_agrees_with_pytorch() {
    let Some(folder) = folder() else { return };
    let mut found = 0;
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name.starts_with("loss_") {
            assert_parity(&name, &std::fs::read(path).unwrap());
            found += 1;
        }
    }
    assert!(found >= 10, "only {found} fixtures");
}

#[test]
fn targets_of_coarser_heads() {
    let Some(folder) = folder() else { return };
    let Ok(data) = std::fs::read(folder.join("unet_deep_instance.safetensors")) else { return };
    let file = SafeTensors::deserialize(&data).unwrap();
    let (shape, labels) = tensor(&file, "y");
    let heads: Vec<&str> = file.names().into_iter().filter(|name| name.starts_with("y.")).collect();
    assert!(!heads.is_empty());
    for head in heads {
        let (small, right) = tensor(&file, head);
        let area = Area { batch: shape[0], height: shape[2], width: shape[3] };
        let mut out = vec![2; right.len()];
        target_at(&bytes(&labels), area, [small[2], small[3]], &mut out);
        assert_eq!(out, bytes(&right), "{head}");
    }
}
