//! The binary as a user runs it, on small data: for tests that stop runs and resume them.

#![allow(dead_code, reason = "each test program uses its part")]

pub mod model;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use pipeline::contract::Event;
use pipeline::contract::events::{EpochEvent, EvalEvent, Line, StepEvent};
use sha2::{Digest as _, Sha256};

/// A pipeline made small.
#[derive(Debug, Clone)]
pub struct Small {
    file: String,
    set: Vec<String>,
}

/// The quickstart on 10 drawn eyes of 96 x 96 in windows of 4, 4 and 2, four epochs: 12 steps, batch norm so that statistics move.
pub fn drawn() -> Small {
    let set = [
        "dataset.drawn.pairs=10",
        "dataset.drawn.test_pairs=3",
        "dataset.drawn.image_size=96",
        "trainer.num_epochs=4",
        "dataset.drawn.batch_size=1",
        "trainer.gradient_accumulation_steps=4",
        "stages.train.with.model={unet: {base: 8, depth: 3, norm: batch}}",
    ];
    Small { file: "pipelines/quickstart.yml".into(), set: set.map(str::to_owned).into() }
}

/// The same with another network, on eyes of 64 x 64 for two epochs: 6 steps.
pub fn drawn_with(model: &str) -> Small {
    let mut small = drawn();
    let model = format!("stages.train.with.model={model}");
    small.set.extend([model, "dataset.drawn.image_size=64".into(), "trainer.num_epochs=2".into()]);
    small
}

/// The photographs of CHASE_DB1, shrunk, in micro-batches of two, with momentum, a falling learning rate and a preview on the side.
pub fn photographs() -> Option<Small> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/CHASE_DB1");
    if !data.is_dir() {
        eprintln!("no photographs at {}: drawn eyes only", data.display());
        return None;
    }
    let set = [
        &format!("dataset.CHASE_DB1.data_root={}", data.display()),
        "dataset.CHASE_DB1.image_size=64",
        "trainer.device=cpu",
        "trainer.num_epochs=2",
        "stages.train.with.model={unet: {base: 8, depth: 3}}",
    ];
    Some(Small { file: "pipelines/chase_db1.yml".into(), set: set.map(str::to_owned).into() })
}

/// Photographs in files, in the layout of FIVES, drawn into `folder`: eight to train on and two to test, 64 x 64.
pub fn files(folder: &Path) -> Small {
    let mut sample = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    sample.arg("sample").arg(folder).args(["--pairs", "8", "--size", "64"]);
    assert!(sample.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let set = [
        &format!("dataset.FIVES.data_root={}", folder.display()),
        "dataset.FIVES.image_size=64",
        "trainer.device=cpu",
        "trainer.num_epochs=4",
        "trainer.mixed_precision='no'",
        // What is chosen is chosen by time, and may be another thing in another run.
        "trainer.fit_may_change=[]",
        "dataset.FIVES.evaluate_every=1",
        "stages.train.with.model={unet: {base: 8, depth: 3}}",
    ];
    Small { file: "pipelines/fives.yml".into(), set: set.map(str::to_owned).into() }
}

/// Pieces of drawn photographs of 90 x 90 in `folder`, three of each of the six to train on, in micro-batches of two and windows of two of
/// them: a piece is often the last of one window, and its photograph's next one the first of another. Tests tile by tile.
pub fn patches(folder: &Path) -> Small {
    let mut sample = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    sample.arg("sample").arg(folder).args(["--pairs", "8", "--size", "90"]);
    assert!(sample.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let set = [
        &format!("dataset.FIVES.data_root={}", folder.display()),
        "dataset.FIVES.patch_size=32",
        "dataset.FIVES.batch_size=2",
        "dataset.FIVES.num_workers=2",
        "stages.crop.with.per_image=3",
        "trainer.gradient_accumulation_steps=2",
        "trainer.device=cpu",
        "trainer.num_epochs=2",
        "trainer.mixed_precision='no'",
        "stages.train.with.model={unet: {base: 8, depth: 3}}",
        "dataset.FIVES.evaluate_every=1",
    ];
    Small { file: "pipelines/fives_patches.yml".into(), set: set.map(str::to_owned).into() }
}

/// Photographs of two sizes in `folder`, every other one half as large, in batches of two without a stage that makes them of one size:
/// those that aren't of the run's first one's size are left out.
pub fn mixed(folder: &Path) -> Small {
    files(folder);
    for part in ["Original", "Ground truth"] {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder.join("train").join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().step_by(2) {
            let half = image::open(path).unwrap().resize_exact(32, 32, image::imageops::FilterType::Nearest);
            half.save(path).unwrap();
        }
    }
    let file = folder.join("mixed.yml");
    let text = format!(
        "name: mixed\nseed: 3\non_error: {{skip: {{share: 0.6}}}}\ntrainer: {{device: cpu, num_epochs: 3}}\nstages:\n  \
         - {{id: files, use: fives, with: {{root: '{}', split: train, shuffle: true}}}}\n  \
         - {{id: decode, use: decode, workers: 2}}\n  - {{id: batch, use: batch, with: {{size: 2}}}}\n  \
         - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}\n  \
         - {{id: accum, use: accumulate}}\n  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.001}}}}}}\n  - {{id: export, use: export}}\n",
        folder.display()
    );
    fs::write(&file, text).unwrap();
    Small { file: file.display().to_string(), set: Vec::new() }
}

/// Arteries and veins on drawn eyes of 96 x 96: two epochs of four samples, each with an evaluation so long that checkpoints fall into it.
pub fn three_classes() -> Small {
    let set = [
        "dataset.drawn.pairs=4",
        "dataset.drawn.test_pairs=40",
        "dataset.drawn.image_size=96",
        "trainer.num_epochs=2",
        "stages.train.with.model={unet: {base: 4, depth: 2, groups: 4, classes: 3}}",
        "stages.evaluate.with={tensors: true, pictures: 3}",
    ];
    Small { file: "pipelines/artery_vein.yml".into(), set: set.map(str::to_owned).into() }
}

/// Drawn eyes of 48 x 48, written as a file into `folder`: six to train on, three by which `validate` chooses the best checkpoint, and two
/// that `test` measures. Four epochs of three steps, with batch norm and an average of the weights.
pub fn two_evaluators(folder: &Path) -> Small {
    let eyes = |id: &str, pairs: usize, split: &str| {
        format!(
            "  - {{id: {id}_eyes, use: synthetic_fundus, with: {{pairs: {pairs}, size: 48, split: {split}}}}}\n  \
             - {{id: {id}_decode, use: decode, workers: 1}}\n  - {{id: {id}_batch, use: batch, with: {{size: 1}}}}\n"
        )
    };
    let text = format!(
        "name: two\nseed: 5\ntrainer: {{device: cpu, num_epochs: 4, checkpoint: {{best: {{metric: dice, of: validate}}}}}}\nstages:\n{}  \
         - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2, norm: batch}}}}}}}}\n  \
         - {{id: accum, use: accumulate, with: {{steps: 2}}}}\n  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.02}}, ema: 0.9}}}}\n{}  \
         - {{id: validate, use: evaluate, needs: [optim, held_batch]}}\n{}  - {{id: test, use: evaluate, needs: [optim, test_batch]}}\n  \
         - {{id: export, use: export, needs: optim}}\n",
        eyes("some", 6, "train"),
        eyes("held", 3, "validation"),
        eyes("test", 2, "test"),
    );
    let file = folder.join("two.yml");
    fs::write(&file, text).unwrap();
    Small { file: file.display().to_string(), set: Vec::new() }
}

/// A command that runs the drawn pipeline into `out`.
pub fn run(out: &Path, set: &[&str], more: &[&str]) -> Command {
    drawn().run(out, set, more)
}

impl Small {
    /// A command that measures a model as its file does.
    pub fn eval(&self, model: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.arg("eval").arg(model).arg(&self.file).args(more);
        for set in &self.set {
            command.args(["--set", set]);
        }
        command.current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR"))).stderr(Stdio::piped());
        command
    }

    /// A command that runs it into `out`.
    pub fn run(&self, out: &Path, set: &[&str], more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.args(["run", &self.file, "--out"]).arg(out).args(more);
        for set in self.set.iter().map(String::as_str).chain(set.iter().copied()) {
            command.args(["--set", set]);
        }
        command.current_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR"))).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

/// Runs it to its end, which must be a good one.
pub fn complete(out: &Path, set: &[&str], more: &[&str]) -> Output {
    let output = run(out, set, more).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts it and waits until `ready` says so of its folder, or it has ended by itself.
pub fn until(out: &Path, set: &[&str], more: &[&str], ready: impl Fn(&Path) -> bool) -> Child {
    started(run(out, set, more), out, ready)
}

/// The same of any command that runs into `out`.
pub fn started(mut command: Command, out: &Path, ready: impl Fn(&Path) -> bool) -> Child {
    let mut child = command.spawn().unwrap();
    while !ready(out) && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
}

/// The lines of `metrics.jsonl`; a line that was being written when the program was killed is left out.
pub fn metrics(out: &Path) -> Vec<Line> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How many lines are of this event.
pub fn count(lines: &[Line], event: &str) -> usize {
    lines.iter().filter(|line| line.event.name() == event).count()
}

/// What must be the same in a run that was stopped and went on: the weights' bytes, here as their sum, and the figures of each step,
/// epoch and evaluation.
pub fn outcome(out: &Path) -> (String, Vec<String>) {
    let figures = metrics(out).into_iter().filter_map(|line| {
        match line.event {
            // What is held of memory differs from run to run.
            Event::Step(StepEvent { epoch, step, samples, loss, lr, grad_norm, loss_scale, skipped, .. }) => {
                let figures =
                    StepEvent { epoch, step, samples, loss, lr, grad_norm, loss_scale, skipped, ..StepEvent::default() };
                Some(format!("{figures:?}"))
            }
            Event::Epoch(EpochEvent { epoch, loss, .. }) => Some(format!("epoch {epoch}: {loss:?}")),
            Event::Eval(eval) => Some(format!("{:?}", EvalEvent { device_bytes_peak: None, ..eval })),
            Event::End(end) => Some(format!("{end:?}")),
            _ => None,
        }
    });
    let sum = Sha256::digest(model::weights(out, "last"));
    (sum.iter().map(|byte| format!("{byte:02x}")).collect(), figures.collect())
}

/// The checkpoints that are there, by name, the oldest first.
pub fn checkpoints(out: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(out.join("checkpoint")) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".safetensors") && name != "best.safetensors");
    names.sort();
    names
}
