//! Runs with two evaluators: one of them decides which checkpoint is the best, the other measures what is reported.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use pipeline::contract::events::EvalEvent;
use serde_json::Value;
use support::{metrics, said, two_evaluators};

fn summary(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap()
}

/// The evaluations of one evaluator.
fn evals(out: &Path, stage: &str) -> Vec<EvalEvent> {
    let lines = metrics(out);
    lines.iter().filter_map(|line| line.evaluation()).filter(|eval| eval.stage == stage).cloned().collect()
}

#[test]
fn the_best_epoch_is_the_validations_and_the_test_figure_is_of_that_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let small = two_evaluators(folder.path());
    let output = small.run(&out, &[], &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let (validate, test) = (evals(&out, "validate"), evals(&out, "test"));
    assert_eq!((validate.len(), test.len()), (4, 4));
    assert!(validate.iter().all(|eval| eval.images == 3) && test.iter().all(|eval| eval.images == 2));
    let dice = |eval: &EvalEvent| eval.metric("dice").unwrap();
    let best = validate.iter().reduce(|best, eval| if dice(eval) > dice(best) { eval } else { best }).unwrap();
    let same = test.iter().find(|eval| eval.epoch == best.epoch).unwrap();
    // The file says where each evaluator's figures are: its last, and those of the best epoch.
    let summary = summary(&out);
    assert_eq!((&summary["eval"]["stage"], &summary["eval"]["epoch"]), (&"validate".into(), &4.into()));
    for (stage, evals) in [("validate", &validate), ("test", &test)] {
        assert_eq!(summary["evals"][stage]["dice"].as_f64(), evals.last().map(dice));
    }
    let told = &summary["best"];
    assert_eq!((&told["epoch"], &told["of"], &told["metric"]), (&best.epoch.into(), &"validate".into(), &"dice".into()));
    assert_eq!([&told["value"], &told["evals"]["validate"]["dice"]].map(Value::as_f64), [Some(dice(best)); 2]);
    assert_eq!(told["evals"]["test"]["dice"].as_f64(), Some(dice(same)));
    let bytes = fs::read(out.join("checkpoint/best.safetensors")).unwrap();
    let checkpoint = pipeline::run::read_checkpoint(&bytes).unwrap();
    assert_eq!((checkpoint.best, checkpoint.best_of.unwrap().of.as_deref()), (Some(dice(best)), Some("validate")));
    // And so do people.
    let text = said(&output);
    assert!(text.contains(&format!("; best validation dice {:.4}, AUC", dice(best))), "{text}");
    assert!(text.contains(&format!(" (epoch {}); test dice {:.4}, AUC", best.epoch, dice(same))), "{text}");
    assert!(text.contains("epoch 1: validation dice") && text.contains("epoch 1: test dice"), "{text}");
    // Each has its picture.
    let picture = |name: &str| image::image_dimensions(out.join(name)).unwrap().1;
    assert!(picture("predictions.png") > picture("predictions.test.png"), "three images, and two");
}
