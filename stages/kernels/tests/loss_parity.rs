//! The losses against PyTorch's in float64, from the fixtures in ../shared/parity beside the project. Skipped without them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use pipeline_kernels::{Area, Targets, Term, WeightedTerm, loss, loss_workspace, target_at};
use safetensors::{Dtype, SafeTensors};

/// The largest relative error of a loss, and of a sample's gradient in L2.
const LOSS: f64 = 3e-6;
const GRADIENT: f64 = 5e-6;

/// A fixture's bytes; says on stderr when there are none.
fn fixture(name: &str) -> Option<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity/fixtures2");
    if !folder.is_dir() {
        eprintln!("skipped {name}: no folder {}", folder.display());
        return None;
    }
    Some(std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap())
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

#[track_caller]
fn assert_parity(name: &str, terms: &[(f32, Term)]) {
    let Some(data) = fixture(name) else { return };
    let file = SafeTensors::deserialize(&data).unwrap();
    let terms: Vec<WeightedTerm> = terms.iter().map(|&(weight, term)| WeightedTerm { term, weight }).collect();
    let (shape, logits) = tensor(&file, "logits");
    let &[batch, classes, height, width] = &shape[..] else { panic!("logits of {shape:?}") };
    let area = Area { batch, height, width };
    let labels = bytes(&tensor(&file, "masks").1);
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
fn cross_entropy_and_dice() {
    assert_parity("loss_bce", &[(1.0, Term::Bce { pos_weight: 1.0 })]);
    assert_parity("loss_bce_pos_weight", &[(1.0, Term::Bce { pos_weight: 5.0 })]);
    assert_parity("loss_dice", &[(1.0, Term::Dice)]);
    assert_parity("loss_bce_dice", &[(1.0, Term::Bce { pos_weight: 1.0 }), (1.0, Term::Dice)]);
    assert_parity("loss_bce_dice_pos_weight", &[(1.0, Term::Bce { pos_weight: 3.0 }), (1.0, Term::Dice)]);
}

#[test]
fn focal() {
    assert_parity("loss_focal", &[(1.0, Term::Focal { gamma: 2.0, alpha: None })]);
    assert_parity("loss_focal_alpha", &[(1.0, Term::Focal { gamma: 1.5, alpha: Some(0.25) })]);
}

#[test]
fn tversky() {
    assert_parity("loss_tversky", &[(1.0, Term::Tversky { alpha: 0.3, beta: 0.7 })]);
    assert_parity("loss_focal_tversky", &[(1.0, Term::FocalTversky { alpha: 0.3, beta: 0.7, gamma: 4.0 / 3.0 })]);
}

#[test]
fn centrelines() {
    assert_parity("loss_cldice_dice", &[(0.5, Term::Dice), (0.5, Term::ClDice { iterations: 3 })]);
    assert_parity("loss_cldice", &[(1.0, Term::ClDice { iterations: 10 })]);
}

#[test]
fn classes() {
    assert_parity("loss_ce_dice", &[(1.0, Term::CrossEntropy), (1.0, Term::ClassDice { background: true })]);
    assert_parity("loss_ce_dice_foreground", &[(1.0, Term::CrossEntropy), (1.0, Term::ClassDice { background: false })]);
}

#[test]
fn targets_of_coarser_heads() {
    let Some(data) = fixture("unet_deep_instance") else { return };
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
