//! Masks of several classes, from the file to the figures: what is said before a run, and a run that goes on in the middle of an
//! evaluation.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pipeline::contract::Saved;
use pipeline::run::read_checkpoint;
use pipeline::{builtin, spec};
use support::{checkpoints, metrics, outcome, said, three_classes};

/// What `validate` says of the shipped file, changed.
fn told(change: &[(&str, &str)]) -> String {
    let mut text = include_str!("../pipelines/artery_vein.yml").to_owned();
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let loaded = spec::load_text("classes.yml", text, &[], &builtin());
    loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_model_that_does_not_fit_the_masks_is_told_before_the_run() {
    assert_eq!(told(&[]), "");
    let counted = "the masks have 3 classes (background, artery, vein), and the model has";
    for (change, parts) in [
        (vec![(", classes: 3}}", "}}")], [format!("{counted} one"), "help: classes: 3, with a loss".into()]),
        (vec![("classes: 3", "classes: 4")], [format!("{counted} 4"), "help: classes: 3".into()]),
        (
            vec![
                ("split: train, shuffle: true, classes: true", "split: train, shuffle: true"),
                (", with: {labels: \"${dataset.labels}\"}", ""),
            ],
            ["the masks are binary, and the model has 3 classes".into(), "labels: {artery: [255, 0, 0]".into()],
        ),
        (vec![("loss: ce_dice", "loss: bce_dice")], ["this loss is for one class".into(), "help: take loss: ce_dice".into()]),
        (
            vec![("needs: [clean, test_batch]", "needs: [clean, test_batch], with: {threshold: 0.4}")],
            ["threshold does nothing with 3 classes".into(), "help: remove it".into()],
        ),
        (
            vec![("with: {labels: \"${dataset.labels}\"}", "with: {labels: {vein: [0, 0, 255], artery: [255, 0, 0]}}")],
            ["the test masks have the classes background, artery, vein".into(), "in the same order".into()],
        ),
    ] {
        let told = told(&change);
        parts.iter().for_each(|part| assert!(told.contains(part), "{part}:\n{told}"));
        assert_eq!(told.matches("error: ").count(), 1, "{told}");
    }
}

/// True where a stage had measured some of the test images, but not all.
fn is_in_mid_evaluation((stage, saved): &(String, Saved)) -> bool {
    stage == "evaluate" && saved.values.contains_key("images")
}

#[test]
fn a_run_goes_on_in_the_middle_of_an_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let reference = folder.path().join("reference");
    let often = ["trainer.checkpoint={every_minutes: 0, keep: 999}"];
    let output = three_classes().run(&reference, &often, &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for class in ["  artery: dice 0.", "  vein: dice 0."] {
        assert!(said(&output).contains(class), "{}", said(&output));
    }
    let lines = metrics(&reference);
    let last = lines.iter().filter_map(|line| line.evaluation()).next_back().unwrap();
    assert_eq!(last.classes.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["artery", "vein"]);
    let files = |out: &Path| {
        ["predictions.png", "predictions.safetensors", "figures.csv"].map(|file| fs::read(out.join(file)).unwrap())
    };
    let mut inside = checkpoints(&reference);
    inside.retain(|name| {
        let bytes = fs::read(reference.join("checkpoint").join(name)).unwrap();
        read_checkpoint(&bytes).unwrap().snapshot.stages.iter().any(is_in_mid_evaluation)
    });
    assert!(!inside.is_empty(), "no checkpoint was taken in the middle of an evaluation");
    // The first, one between, the last.
    let chosen: BTreeSet<&String> = [0, inside.len() / 2, inside.len() - 1].map(|at| &inside[at]).into();
    for name in chosen {
        // As if the run had been killed right after this one.
        let out = folder.path().join(name);
        fs::create_dir_all(out.join("checkpoint")).unwrap();
        for file in ["resolved.yml", "metrics.jsonl", ".lock", &format!("checkpoint/{name}")] {
            fs::copy(reference.join(file), out.join(file)).unwrap();
        }
        let output = three_classes().run(&out, &often, &["--resume"]).output().unwrap();
        assert!(output.status.success(), "from {name}: {}", said(&output));
        assert_eq!(outcome(&out), outcome(&reference), "from {name}");
        assert!(files(&out) == files(&reference), "the predictions, from {name}");
    }
}

#[test]
fn a_metric_that_several_classes_do_not_have_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["trainer.checkpoint={best: {metric: auc}}", "dataset.drawn.test_pairs=1", "trainer.num_epochs=1"];
    let output = three_classes().run(&folder.path().join("run"), &set, &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("the evaluation gives no \"auc\" here").count(), 1, "{}", said(&output));
}
