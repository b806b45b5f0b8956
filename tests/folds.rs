//! A run for each fold: killed and called again, it gives the same weights to the byte and the same figures.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{count, metrics, outcome, said, signal, started};

/// Nine drawn pairs, and a file that divides them into three folds.
fn file(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    let sample = ["sample", data.to_str().unwrap(), "--pairs", "9", "--size", "64"];
    let drawn = Command::new(env!("CARGO_BIN_EXE_pipeline")).args(sample).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(drawn.unwrap().success());
    let file = folder.join("folds.yml");
    let text = format!(
        "name: folds\nseed: 3\ndataset: {{split: {{folds: 3, seed: 7, from: all, group: '{{folder}}/{{id}}'}}}}\n\
         trainer: {{device: cpu, num_epochs: 3, checkpoint: {{every_minutes: 0}}}}\nstages:\n  \
         - {{id: files, use: fives, with: {{root: '{0}', split: '${{dataset.split}}', part: train, shuffle: true}}}}\n  \
         - {{id: decode, use: decode, workers: 1}}\n  - {{id: batch, use: batch}}\n  \
         - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2, norm: batch}}}}}}}}\n  \
         - {{id: accum, use: accumulate, with: {{steps: 2}}}}\n  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.001}}}}}}\n  \
         - {{id: test_files, use: fives, with: {{root: '{0}', split: '${{dataset.split}}', part: test}}}}\n  \
         - {{id: test_decode, use: decode}}\n  - {{id: test_batch, use: batch}}\n  \
         - {{id: evaluate, use: evaluate, needs: [optim, test_batch], with: {{pictures: 0}}}}\n  \
         - {{id: export, use: export, needs: optim}}\n",
        data.display()
    );
    fs::write(&file, text).unwrap();
    file
}

fn command(file: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("run").arg(file).arg("--out").arg(out).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn complete(file: &Path, out: &Path, more: &[&str]) -> Output {
    let output = command(file, out, more).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn folds_that_are_killed_go_on_and_end_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, reference, out) = (file(folder.path()), folder.path().join("reference"), folder.path().join("out"));
    let output = complete(&file, &reference, &["--folds", "all"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        table.lines().map(|line| line.split_whitespace().next().unwrap()).collect::<Vec<_>>(),
        ["fold", "0", "1", "2", "mean", "std."]
    );
    // In the first fold, in the second, and by a scheduler in the third.
    for (fold, steps) in [(0, 2), (0, 5), (1, 4)] {
        let ready = |out: &Path| count(&metrics(&out.join(format!("fold_{fold}"))), "step") >= steps;
        let mut child = started(command(&file, &out, &["--folds", "all"]), &out, ready);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!out.join("folds.json").exists());
    }
    let before = fs::metadata(out.join("fold_0/model.safetensors")).unwrap().modified().unwrap();
    let child =
        started(command(&file, &out, &["--folds", "all"]), &out, |out| count(&metrics(&out.join("fold_2")), "step") >= 1);
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", said(&output));
    assert!(said(&output).contains("fold 0 is done") && said(&output).contains("goes on with fold 2"), "{}", said(&output));
    let output = complete(&file, &out, &["--folds", "all"]);
    assert!(said(&output).contains("fold 1 is done"), "{}", said(&output));
    assert_eq!(fs::metadata(out.join("fold_0/model.safetensors")).unwrap().modified().unwrap(), before, "it isn't touched");
    let mut weights = Vec::new();
    for fold in ["fold_0", "fold_1", "fold_2"] {
        assert_eq!(outcome(&out.join(fold)), outcome(&reference.join(fold)), "{fold}");
        weights.push(fs::read(out.join(fold).join("model.safetensors")).unwrap());
    }
    assert!(weights[0] != weights[1] && weights[1] != weights[2], "each fold is trained on other samples");
    assert_eq!(fs::read(out.join("folds.json")).unwrap(), fs::read(reference.join("folds.json")).unwrap());
    let all = json(&out.join("folds.json"));
    let dice: Vec<f64> =
        (0..3).map(|fold| json(&out.join(format!("fold_{fold}/summary.json")))["eval"]["dice"].as_f64().unwrap()).collect();
    let mean = dice.iter().sum::<f64>() / 3.0;
    let deviation = (dice.iter().map(|dice| (dice - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!((all["mean"]["dice"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((all["standard_deviation"]["dice"].as_f64().unwrap() - deviation).abs() < 1e-12);
    let images: u64 = all["done"].as_array().unwrap().iter().map(|fold| fold["images"].as_u64().unwrap()).sum();
    assert_eq!(images, 9, "each sample is measured in one fold");
    assert_eq!(all["done"][1]["weights_sha256"], json(&out.join("fold_1/summary.json"))["weights_sha256"]);
    // A fold is what the file with that `fold` trains.
    let alone = folder.path().join("alone");
    complete(&file, &alone, &["--set", "dataset.split.fold=2"]);
    assert_eq!(outcome(&alone), outcome(&out.join("fold_2")));
}

#[test]
fn folds_of_one_folder_are_of_one_file_and_some_are_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (file(folder.path()), folder.path().join("out"));
    let refused = |more: &[&str], code: i32, what: &[&str]| {
        let output = command(&file, &out, more).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        what.iter().for_each(|what| assert!(said(&output).contains(what), "{what}: {}", said(&output)));
    };
    refused(&["--folds", "0,3"], 3, &["no fold 3 among 3", "0 to 2"]);
    refused(&["--folds", "some"], 2, &["0,2"]);
    let undivided = ["--set", "stages.files.with={root: data}", "--set", "stages.test_files.with={root: data, split: test}"];
    refused(
        &[&["--folds", "all"][..], &undivided].concat(),
        3,
        &["no source is divided into folds", "split: {folds: 5, seed: 7}"],
    );
    let other = "stages.test_files.with.split={folds: 3, seed: 8, from: all}";
    refused(&["--folds", "all", "--set", other], 3, &["`split.seed` is 7 in `files` and 8 in `test_files`", "same"]);
    assert!(!out.exists(), "nothing is begun");
    let short = ["--set", "trainer.num_epochs=1"];
    complete(&file, &out, &[&["--folds", "2"][..], &short].concat());
    complete(&file, &out, &[&["--folds", "0"][..], &short].concat());
    let all = json(&out.join("folds.json"));
    let done: Vec<u64> = all["done"].as_array().unwrap().iter().map(|fold| fold["fold"].as_u64().unwrap()).collect();
    assert_eq!((done, all["folds"].as_u64()), (vec![0, 2], Some(3)));
    refused(&["--folds", "all"], 3, &["begun with other settings", "trainer.num_epochs: 1 -> 3", "another --out"]);
    // A leak in a later fold is found before the first is trained.
    let eye = |folder: &str, name: &str| folder_of(&file).join(folder).join("Original").join(name);
    fs::copy(eye("train", "1_A.png"), eye("train", "4_N.png")).unwrap();
    let leaking = folder.path().join("leaking");
    let output = command(&file, &leaking, &["--folds", "all"]).output().unwrap();
    assert!(said(&output).contains("the same photograph") && said(&output).contains("exclude: ["), "{}", said(&output));
    assert!((0..3).all(|fold| !leaking.join(format!("fold_{fold}")).exists()), "none was begun");
}

fn folder_of(file: &Path) -> PathBuf {
    file.with_file_name("data")
}
