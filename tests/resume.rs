//! Runs that are stopped, killed and damaged, and resumed: the same weights to the byte, each step once.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use pipeline::contract::events::{EndEvent, FORMAT, Status};
use pipeline::contract::{Direction, Event};
use support::{
    checkpoints, complete, count, files, metrics, mixed, model, outcome, patches, run, said, signal, started, until,
};

/// A checkpoint after every micro-batch, as far as the disk follows.
const OFTEN: &str = "trainer.checkpoint={every_minutes: 0, keep: 3}";

fn steps(count: usize) -> impl Fn(&Path) -> bool {
    move |out: &Path| self::count(&metrics(out), "step") >= count
}

#[test]
fn a_scheduler_stops_a_run_and_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &[], &[]);
    for (count, name, code) in [(1, "TERM", 75), (2, "HUP", 75), (4, "INT", 130)] {
        // Started by the same command that resumes it.
        let child = until(&out, &[], &["--resume"], steps(count));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains("--resume"), "{}", said(&output));
        let last = metrics(&out).pop().unwrap().event;
        assert_eq!(last, EndEvent { status: Status::Interrupted }.into());
    }
    let output = complete(&out, &["dataset.drawn.num_workers=0"], &["--resume"]);
    assert!(said(&output).contains("resuming from checkpoint/"), "{}", said(&output));
    assert!(said(&output).contains("stages.decode.workers: "), "more or fewer workers are named: {}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
    assert_eq!(model::weights(&out, "model"), model::weights(&reference, "model"));
    let summary: serde_json::Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!((summary["resumes"].as_u64(), summary["steps"].as_u64()), (Some(3), Some(12)));
    // The file begins with its format, and repeats it wherever the run resumes.
    let lines = metrics(&out);
    assert!(matches!(&lines[0].event, Event::Start(start) if start.format == FORMAT), "{:?}", lines[0]);
    let resumes = lines.iter().filter_map(|line| match &line.event {
        Event::Resume(resume) => Some((resume.resumes, resume.format)),
        _ => None,
    });
    assert_eq!(resumes.collect::<Vec<_>>(), [(1, FORMAT), (2, FORMAT), (3, FORMAT)]);
    assert_eq!(count(&lines, "start"), 1);
}

#[test]
fn a_finished_run_goes_on_with_more_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &[], &[]);
    complete(&out, &["trainer.num_epochs=2"], &[]);
    let output = complete(&out, &[], &["--resume"]);
    assert!(said(&output).contains("trainer.num_epochs: 2 -> 4"), "{}", said(&output));
    assert_eq!(outcome(&out).0, outcome(&reference).0);
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &[], &[]);
    let mut child = until(&out, &[OFTEN], &[], |out| checkpoints(out).len() >= 3 && steps(5)(out));
    child.kill().unwrap();
    child.wait().unwrap();
    let newest = out.join("checkpoint").join(checkpoints(&out).pop().unwrap());
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let output = complete(&out, &[], &["--resume"]);
    assert!(said(&output).contains(": the checksum of"), "{}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
}

#[test]
fn a_changed_file_goes_on_only_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let child = until(&out, &[], &[], steps(2));
    signal(&child, "TERM");
    child.wait_with_output().unwrap();
    let before = metrics(&out);
    let refused = |set: &str, what: &[&str]| {
        let output = run(&out, &[set], &["--resume"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        what.iter().for_each(|what| assert!(said(&output).contains(what), "{what}: {}", said(&output)));
        assert_eq!(metrics(&out), before, "nothing was touched");
    };
    refused("stages.optim.with.clip_norm=0.25", &["alter the result", "stages.optim.with.clip_norm", "--allow-changed"]);
    refused("stages.optim.with.ema=0.9", &["can't resume", "stages.optim.with.ema: nothing -> 0.9", "doesn't fit"]);
    refused("stages.train.with.model={unet: {base: 4, depth: 3}}", &["can't resume", "stages.train.with.model"]);
    let output = complete(&out, &["stages.optim.with.clip_norm=0.25"], &["--resume", "--allow-changed"]);
    assert!(said(&output).contains("resuming with changes that alter the result"), "{}", said(&output));
    assert!(out.join("resolved.1.yml").exists(), "what the run began with stays");
    assert_eq!(count(&metrics(&out), "step"), 12);
}

#[test]
fn two_runs_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut child = until(&out, &[], &[], steps(1));
    for more in [&["--resume"][..], &[]] {
        let output = run(&out, &[], more).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains(&format!("process {} is running in it", child.id())), "{}", said(&output));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    complete(&out, &[], &["--resume"]);
}

#[test]
fn half_precision_momentum_and_an_average_go_on_too() {
    let folder = tempfile::tempdir().unwrap();
    let set = [
        "trainer.mixed_precision=fp16",
        "stages.optim.with={sgd: {lr: 0.05, momentum: 0.9}, schedule: cosine, ema: 0.9}",
        OFTEN,
    ];
    let (reference, out) = (folder.path().join("reference"), folder.path().join("run"));
    complete(&reference, &set, &[]);
    for count in [1, 3, 6] {
        let mut child = until(&out, &set, &["--resume"], steps(count));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    complete(&out, &set, &["--resume"]);
    assert_eq!(outcome(&out), outcome(&reference));
}

#[test]
fn another_data_set_is_refused_and_the_old_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (data, reference, out) = (folder.path().join("data"), folder.path().join("reference"), folder.path().join("run"));
    let small = files(&data);
    assert!(small.run(&reference, &[], &[]).status().unwrap().success());
    let child = started(small.run(&out, &[], &[]), &out, steps(3));
    signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(75));
    // One photograph less.
    let originals = data.join("train/Original");
    let first = fs::read_dir(&originals).unwrap().next().unwrap().unwrap().file_name();
    let (image, mask) = (originals.join(&first), data.join("train/Ground truth").join(&first));
    let (aside, other) = (folder.path().join("aside"), folder.path().join("other"));
    fs::rename(&image, &aside).unwrap();
    fs::rename(&mask, &other).unwrap();
    let output = small.run(&out, &[], &["--resume"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("the data set has changed"), "{}", said(&output));
    fs::rename(&aside, &image).unwrap();
    fs::rename(&other, &mask).unwrap();
    let output = small.run(&out, &[], &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(outcome(&out), outcome(&reference));
}

#[test]
fn what_was_chosen_for_a_budget_stays_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let small = files(&data);
    let set = ["trainer.memory_budget=64MiB", "trainer.fit_may_change=[micro_batch, gradient_checkpointing]"];
    let child = started(small.run(&out, &set, &[]), &out, steps(2));
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert!(said(&output).contains("of device memory: micro-batch"), "it was chosen: {}", said(&output));
    let chosen = fs::read(out.join("resolved.yml")).unwrap();
    let output = small.run(&out, &set, &["--resume"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("of device memory: micro-batch"), "not again: {}", said(&output));
    assert_eq!(fs::read(out.join("resolved.yml")).unwrap(), chosen);
}

#[test]
fn what_a_stage_settled_with_the_first_photograph_stays_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (data, reference) = (folder.path().join("data"), folder.path().join("reference"));
    let small = mixed(&data);
    let often = ["trainer.checkpoint={every_minutes: 0, keep: 99}"];
    let output = small.run(&reference, &often, &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let skipped = |out: &Path| -> Vec<String> {
        let skipped = metrics(out).into_iter().filter_map(|line| match line.event {
            Event::SampleSkipped(skipped) => Some(skipped.sample),
            _ => None,
        });
        skipped.collect()
    };
    assert!(skipped(&reference).len() >= 3, "{}", said(&output));
    // From each checkpoint there is, as if the run had been killed right after it.
    for name in checkpoints(&reference) {
        let out = folder.path().join(&name);
        fs::create_dir_all(out.join("checkpoint")).unwrap();
        for file in ["resolved.yml", "metrics.jsonl", ".lock", &format!("checkpoint/{name}")] {
            fs::copy(reference.join(file), out.join(file)).unwrap();
        }
        let output = small.run(&out, &often, &["--resume"]).output().unwrap();
        assert!(output.status.success(), "from {name}: {}", said(&output));
        assert_eq!((outcome(&out), skipped(&out)), (outcome(&reference), skipped(&reference)), "from {name}");
    }
}

/// A window that ends in the middle of a photograph's pieces.
#[test]
fn a_run_resumes_between_two_pieces_of_a_photograph() {
    let folder = tempfile::tempdir().unwrap();
    let (data, reference) = (folder.path().join("data"), folder.path().join("reference"));
    let small = patches(&data);
    let often = ["trainer.checkpoint={every_minutes: 0, keep: 99}"];
    let output = small.run(&reference, &often, &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let steps: Vec<u64> = metrics(&reference)
        .into_iter()
        .filter_map(|line| match line.event {
            Event::Step(step) => Some(step.samples),
            _ => None,
        })
        .collect();
    // 6 photographs give 18 pieces in an epoch.
    assert_eq!(steps, [4, 8, 12, 16, 18, 22, 26, 30, 34, 36]);
    let mut inside = 0;
    for name in checkpoints(&reference) {
        let out = folder.path().join(&name);
        fs::create_dir_all(out.join("checkpoint")).unwrap();
        for file in ["resolved.yml", "metrics.jsonl", ".lock", &format!("checkpoint/{name}")] {
            fs::copy(reference.join(file), out.join(file)).unwrap();
        }
        let bytes = fs::read(out.join("checkpoint").join(&name)).unwrap();
        let position = pipeline::run::read_checkpoint(&bytes).unwrap().snapshot.position;
        inside += usize::from(!position.inputs[0].until.is_multiple_of(3));
        // Another number of workers changes nothing.
        let output = small.run(&out, &often, &["--resume", "--set", "dataset.FIVES.num_workers=1"]).output().unwrap();
        assert!(output.status.success(), "from {name}: {}", said(&output));
        assert_eq!(outcome(&out), outcome(&reference), "from {name}");
    }
    assert!(inside >= 1, "no checkpoint is inside a photograph");
    // Where it stands is counted in pieces, so their number can't change.
    let set = ["stages.crop.with.per_image=2", "trainer.num_epochs=3"];
    let output = small.run(&reference, &set, &["--resume", "--allow-changed"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("per_image"), "{}", said(&output));
}

/// An evaluation every other epoch and after the last; its photographs rest in between, also where a run goes on in such an epoch.
#[test]
fn what_is_measured_less_often_goes_on_at_the_same_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["trainer.num_epochs=5", "stages.evaluate.with.every=2", OFTEN];
    let whole = folder.path().join("whole");
    complete(&whole, &set, &[]);
    let epochs = |out: &Path| metrics(out).iter().filter_map(|line| Some(line.evaluation()?.epoch)).collect::<Vec<_>>();
    assert_eq!(epochs(&whole), [2, 4, 5]);
    let out = folder.path().join("killed");
    for ready in [4, 8, 11] {
        let mut child = until(&out, &set, &["--resume"], steps(ready));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    complete(&out, &set, &["--resume"]);
    assert_eq!((epochs(&out), outcome(&out)), (vec![2, 4, 5], outcome(&whole)));
}

/// The checkpoint that stays is the one after the evaluation that is the best by the file's metric.
#[test]
fn the_best_checkpoint_goes_by_the_metric_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let evals = |out: &Path, metric: &str| -> Vec<(u64, f64)> {
        let lines = metrics(out);
        let evals = lines.iter().filter_map(|line| line.evaluation());
        evals.map(|eval| (eval.epoch, eval.metric(metric).unwrap())).collect()
    };
    let best = |out: &Path| {
        let bytes = fs::read(out.join("checkpoint/best.safetensors")).unwrap();
        let checkpoint = pipeline::run::read_checkpoint(&bytes).unwrap();
        let of = checkpoint.best_of.unwrap();
        (of.metric, of.direction, checkpoint.best.unwrap(), checkpoint.mark.kept.evaluation().unwrap().epoch)
    };
    for (set, metric, direction) in [
        ("true", "dice", Direction::Max),
        ("{metric: specificity}", "specificity", Direction::Max),
        ("{metric: sensitivity, direction: min}", "sensitivity", Direction::Min),
    ] {
        let out = folder.path().join(metric);
        let output = complete(&out, &[&format!("trainer.checkpoint={{every_minutes: 1000, best: {set}}}")], &[]);
        assert!(said(&output).contains("test dice 0."), "{}", said(&output));
        let evals = evals(&out, metric);
        let (epoch, figure) = evals.iter().copied().reduce(|a, b| if direction.is_better(b.1, a.1) { b } else { a }).unwrap();
        assert_eq!(best(&out), (metric.to_owned(), direction, figure, epoch), "{evals:?}");
    }
    // The best figure of one metric says nothing about another: the run resumes, and finds a new one from the last evaluation on.
    let out = folder.path().join("sensitivity");
    let more = ["trainer.num_epochs=5", "trainer.checkpoint={every_minutes: 1000, best: {metric: iou}}"];
    complete(&out, &more, &["--resume"]);
    let last = &evals(&out, "iou")[3..];
    let (epoch, figure) = if last[1].1 > last[0].1 { last[1] } else { last[0] };
    assert_eq!(best(&out), ("iou".to_owned(), Direction::Max, figure, epoch), "{last:?}");
    let off = folder.path().join("off");
    complete(&off, &["trainer.checkpoint={best: false}"], &[]);
    assert!(!off.join("checkpoint/best.safetensors").exists());
}
