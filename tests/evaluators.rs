//! Runs with two evaluators: one of them decides which checkpoint is the best, the other measures what is reported.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use pipeline::contract::events::EvalEvent;
use pipeline::contract::fact;
use serde_json::Value;
use support::{checkpoints, count, metrics, outcome, said, started, two_evaluators};

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

/// No Dice is better than another by more than one, so the patience is used up after epoch 3.
const STOPPING: [&str; 3] = [
    "trainer.num_epochs=40",
    "trainer.early_stopping={patience: 2, min_delta: 1.0}",
    "trainer.checkpoint={every_minutes: 0, keep: 99, best: {metric: dice, of: validate}}",
];

#[test]
fn a_run_that_gets_no_better_ends_as_if_that_epoch_were_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let small = two_evaluators(folder.path());
    let (short, out) = (folder.path().join("short"), folder.path().join("run"));
    let complete = |out: &Path, set: &[&str], more: &[&str]| {
        let output = small.run(out, set, more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    complete(&short, &["trainer.num_epochs=3"], &[]);
    let text = complete(&out, &STOPPING, &[]);
    assert_eq!(outcome(&out), outcome(&short), "figures and weights of three epochs, and the test's of the last");
    assert_eq!(evals(&out, "test").last().unwrap().epoch, 3);
    let told = summary(&out);
    assert_eq!((&told["status"], &told["steps"]), (&"complete".into(), &9.into()));
    let stopped = serde_json::json!({"epoch": 3, "best_epoch": told["best"]["epoch"], "metric": "dice"});
    assert_eq!(told["stopped_early"], stopped);
    assert!(summary(&short)["stopped_early"].is_null());
    assert!(text.contains("stopped early after epoch 3: the dice no longer gets better; the best is that of epoch "), "{text}");

    // From each checkpoint there is, as if the run had been killed right after it: also those between the evaluators, and the last.
    let names = checkpoints(&out);
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let again = folder.path().join(&name);
        fs::create_dir_all(again.join("checkpoint")).unwrap();
        for file in ["resolved.yml", "metrics.jsonl", ".lock", &format!("checkpoint/{name}")] {
            fs::copy(out.join(file), again.join(file)).unwrap();
        }
        complete(&again, &STOPPING, &["--resume"]);
        assert_eq!(outcome(&again), outcome(&out), "from {name}");
        assert_eq!(summary(&again)["stopped_early"], stopped, "from {name}");
    }

    // More patience goes on as the undisturbed run with it would have; less, or another metric, is another run.
    let more = ["trainer.early_stopping={patience: 4, min_delta: 1.0}"];
    let reference = folder.path().join("reference");
    let patient = [&STOPPING[..], &more].concat();
    complete(&reference, &patient, &[]);
    complete(&out, &patient, &["--resume"]);
    assert_eq!((outcome(&out), &summary(&out)["stopped_early"]["epoch"]), (outcome(&reference), &5.into()));
    for set in ["trainer.early_stopping={patience: 1}", "trainer.checkpoint={best: {metric: iou, of: validate}}"] {
        let output = small.run(&out, &[&patient[..], &[set]].concat(), &["--resume"]).output().unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains("alter the result"), "{}", said(&output));
    }
}

#[test]
fn a_killed_run_ends_at_the_same_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let small = two_evaluators(folder.path());
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    assert!(small.run(&reference, &STOPPING, &[]).status().unwrap().success());
    for steps in [1, 4, 7, 9] {
        let ready = |out: &Path| count(&metrics(out), "step") >= steps;
        let mut child = started(small.run(&out, &STOPPING, &["--resume"]), &out, ready);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = small.run(&out, &STOPPING, &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
    assert_eq!(summary(&out)["stopped_early"], summary(&reference)["stopped_early"]);
}

/// A file that trains on drawn photographs in `folder` and measures others of them, with `view` among the options of the source of the latter.
fn photographs(folder: &Path, view: &str, evaluate: &str) -> String {
    let source = |id: &str, part: &str, more: &str| {
        format!(
            "  - {{id: {id}, use: image_pairs, with: {{root: '{}', image: '{part}/Original/{{id}}.png', mask: '{part}/Ground truth/{{id}}.png'{more}}}}}\n  \
             - {{id: {id}_decode, use: decode}}\n  - {{id: {id}_batch, use: batch, with: {{size: 1}}}}\n",
            folder.display()
        )
    };
    format!(
        "name: fields\nseed: 5\ntrainer: {{device: cpu, num_epochs: 1}}\nstages:\n{}  \
         - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}\n  - {{id: accum, use: accumulate}}\n  \
         - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.001}}}}}}\n{}  \
         - {{id: test, use: evaluate, needs: [optim, tests_batch], with: {{{evaluate}}}}}\n",
        source("photos", "train", ""),
        source("tests", "test", view),
    )
}

#[test]
fn a_field_of_view_from_a_file_is_what_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    support::files(folder.path());
    fs::create_dir(folder.path().join("test/mask")).unwrap();
    for entry in fs::read_dir(folder.path().join("test/Ground truth")).unwrap() {
        // As no camera sees it: vessels alone, so that accuracy inside is sensitivity.
        let path = entry.unwrap().path();
        let name = format!("{}_mask.gif", path.file_stem().unwrap().to_string_lossy());
        let field = image::DynamicImage::from(image::open(&path).unwrap().to_rgb8());
        field.save(folder.path().join("test/mask").join(name)).unwrap();
    }
    let view = ", field_of_view: 'test/mask/{id}_mask.gif'";
    let figures = |name: &str, view: &str, evaluate: &str| {
        let file = folder.path().join(format!("{name}.yml"));
        fs::write(&file, photographs(folder.path(), view, evaluate)).unwrap();
        let out = folder.path().join(name);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pipeline"));
        let output = command.arg("run").arg(&file).arg("--out").arg(&out).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let eval = evals(&out, "test").pop().unwrap();
        ["accuracy", "sensitivity"].map(|name| eval.metric(name).unwrap())
    };
    let [[accuracy, sensitivity], whole, found] =
        [figures("file", view, ""), figures("whole", view, "field_of_view: false"), figures("found", "", "")];
    assert_eq!(accuracy, sensitivity);
    assert!(whole[0] != accuracy && found[0] != accuracy && found[0] != whole[0], "{accuracy} {whole:?} {found:?}");
    assert_eq!([whole[1], found[1]].map(|value| (value - sensitivity).abs() < 0.02), [true; 2], "all vessels are in the field");
}

#[test]
fn a_field_of_view_is_made_only_where_an_evaluator_reads_it() {
    let known = |evaluate: &str, more: &str| {
        let text = photographs(Path::new("data"), "", evaluate) + more;
        let pipeline = pipeline::spec::load_text("a.yml", text, &[], &pipeline::builtin()).pipeline.unwrap();
        ["photos_decode", "tests_decode"].map(|id| {
            let facts = &pipeline.graph.facts[pipeline.graph.node(id).unwrap().index()][0];
            [fact::EVALUATED, fact::FIELD_OF_VIEW].map(|name| facts.get(name).is_some())
        })
    };
    assert_eq!(known("", ""), [[false, false], [true, true]]);
    assert_eq!(known("field_of_view: false", ""), [[false, false], [true, false]]);
    let other = "  - {id: other, use: evaluate, needs: [optim, tests_batch], with: {at: training}}\n";
    assert_eq!(known("field_of_view: false", other), [[false, false], [true, true]], "one of two is enough");
}

/// What `validate` says of a file.
fn validated(text: String) -> String {
    let loaded = pipeline::spec::load_text("a.yml", text, &[], &pipeline::builtin());
    assert!(loaded.pipeline.is_some(), "a warning keeps no file from running");
    loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn figures_that_cant_be_at_the_photographs_size_are_a_warning() {
    let file = |evaluate: &str, between: &str| {
        let text = photographs(Path::new("data"), "", evaluate);
        text.replace("  - {id: tests_batch", &format!("{between}  - {{id: tests_batch"))
    };
    let resize = "  - {id: small, use: resize, with: {size: 64}}\n";
    let flips = format!("{resize}  - {{id: turned, use: augment, with: {{green: 1, rotate90: true}}}}\n");
    for quiet in [file("", resize), file("at: training", &flips), file("", &flips.replace(", rotate90: true", ""))] {
        assert_eq!(validated(quiet), "");
    }
    insta::assert_snapshot!("moved_test_images", validated(file("", &flips)));
    let pieces = format!("{flips}  - {{id: pieces, use: crop, with: {{size: 32}}}}\n");
    let said = validated(file("", &pieces.replace(", rotate90: true", "")));
    assert!(said.contains("`size` of `pieces` moves the pixels") && said.contains("take `pieces` out"), "{said}");
    // Of two, the first.
    assert!(validated(file("", &pieces)).contains("`rotate90` of `turned` moves the pixels"));
}
