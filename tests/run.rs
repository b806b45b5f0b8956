//! Whole runs through the command line: the run's folder, and the same weights whatever the workers and bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/model.rs"]
mod model;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pipeline::contract::Event;
use pipeline::contract::events::Line;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pipeline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipeline")).args(arguments).current_dir(root()).output().unwrap()
}

/// The quickstart, made small enough for a test.
const SMALL: [&str; 12] = [
    "--set",
    "dataset.drawn.pairs=10",
    "--set",
    "dataset.drawn.test_pairs=2",
    "--set",
    "dataset.drawn.image_size=64",
    "--set",
    "trainer.num_epochs=2",
    "--set",
    "dataset.drawn.batch_size=1",
    "--set",
    "trainer.gradient_accumulation_steps=4",
];

fn run_small(out: &Path, more: &[&str]) -> Value {
    let mut arguments = vec!["run", "pipelines/quickstart.yml", "--out", out.to_str().unwrap()];
    arguments.extend(SMALL);
    arguments.extend(more);
    let output = pipeline(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("  dev ") && said.contains("  host "), "a line of progress tells of memory: {said}");
    assert!(said.contains("device peak ") && said.contains("saved activations "), "and a line of what it is for: {said}");
    let summary = json(&out.join("summary.json"));
    let memory = &summary["memory"];
    let (planned, measured) = (&memory["host_planned_peak"], &memory["host_measured_peak"]);
    assert!(measured.as_u64().unwrap() <= planned.as_u64().unwrap(), "{measured} held on the host, {planned} planned at most");
    summary
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_run_leaves_what_its_contract_names() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let summary = run_small(&out, &[]);
    for file in
        ["resolved.yml", "metrics.jsonl", "summary.json", "model.safetensors", "graph.svg", "predictions.png", "figures.csv"]
    {
        assert!(out.join(file).exists(), "{file} is missing");
    }
    assert_eq!(summary["status"], "complete");
    // 10 samples in windows of 4: 4, 4 and 2.
    assert_eq!((summary["steps"].as_u64(), summary["samples"].as_u64()), (Some(6), Some(20)));
    assert_eq!(summary["weights_sha256"].as_str().unwrap().len(), 64);
    assert!(summary["eval"]["dice"].as_f64().unwrap() > 0.0);
    assert!((0.0..=1.0).contains(&summary["device_idle"].as_f64().unwrap()), "{}", summary["device_idle"]);
    assert!(summary["memory"]["host_measured_peak"].as_u64().unwrap() > 64 * 64 * 4);
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!([count("start"), count("plan"), count("step"), count("epoch"), count("eval"), count("end")], [1, 1, 6, 2, 2, 1]);
    assert_eq!(
        (&lines[0]["event"], &lines[0]["format"], &lines[0]["name"]),
        (&"start".into(), &2.into(), &"quickstart".into())
    );
    let plan = &lines[1];
    assert_eq!((&plan["event"], &plan["device_planned_peak"]), (&"plan".into(), &summary["memory"]["device_planned_peak"]));
    let sum = |causes: &Value| causes.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum(&plan["device_peak_by_cause"]), plan["device_planned_peak"].as_u64().unwrap());
    // Each line is one of the program's own events, in full.
    for line in text.lines() {
        let read: Line = serde_json::from_str(line).unwrap();
        assert!(Event::NAMES.contains(&read.event.name()), "{line}");
        let (read, written) = (serde_json::to_value(&read).unwrap(), serde_json::from_str::<Value>(line).unwrap());
        assert_eq!(read, written);
    }
    let steps: Vec<&Value> = lines.iter().filter(|line| line["event"] == "step").collect();
    for (at, step) in steps.iter().enumerate() {
        assert_eq!(step["step"].as_u64(), Some(at as u64 + 1));
        for field in ["seconds", "epoch", "samples", "loss", "lr", "grad_norm", "loss_scale"] {
            assert!(step[field].is_number(), "step without {field}: {step}");
        }
        for side in ["device_bytes", "host_bytes"] {
            let (now, peak) = (step[side].as_u64().unwrap(), step[format!("{side}_peak")].as_u64().unwrap());
            assert!(now <= peak, "{side}: {now} now, {peak} at most");
        }
        assert!(sum(&step["host_by_cause"]) > 0, "batches are on their way: {step}");
        // The ledger counts every tensor, the allocator those of 4 KiB or more, with what kernels take beside.
        let (ledger, allocator) =
            (sum(&step["device_peak_by_cause"]) as f64, step["device_bytes_peak"].as_u64().unwrap() as f64);
        assert!((ledger / allocator - 1.0).abs() < 0.1, "{ledger} by cause, {allocator} allocated");
        assert!(step["device_peak_place"].is_string());
        assert_eq!(step["skipped"], false);
    }
    assert_eq!(steps[2]["samples"], 10);
    // A plan is the same walk as the passes, so it charges the same bytes.
    assert_eq!(sum(&steps.last().unwrap()["device_peak_by_cause"]), plan["device_planned_peak"].as_u64().unwrap());
    // What decided the run, written down, decides the same run again.
    let again = folder.path().join("again");
    let resolved = out.join("resolved.yml");
    let output = pipeline(&["run", resolved.to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("warning"), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), fs::read(again.join("model.safetensors")).unwrap());
}

#[test]
fn weights_are_the_same_bytes_whatever_the_workers_and_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let summary = run_small(&out, more);
        ([model::weights(&out, "model"), model::weights(&out, "last")], summary["weights_sha256"].clone())
    };
    let reference = weights("reference", &["--set", "dataset.drawn.num_workers=2"]);
    for workers in ["0", "1", "4"] {
        assert_eq!(weights(workers, &["--set", &format!("dataset.drawn.num_workers={workers}")]), reference);
    }
    for bound in ["1", "{items: 7, bytes: 20KiB}"] {
        let sets = ["decode", "batch", "train"].map(|stage| format!("stages.{stage}.bound={bound}"));
        let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
        assert_eq!(weights(&format!("bound {}", &bound[..1]), &arguments), reference);
    }
    let other = weights("other", &["--set", "seed=43"]);
    assert_ne!(other.0, reference.0);
    assert_ne!(other.1, reference.1);
}

#[test]
fn data_that_is_not_there_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let set = format!("dataset.FIVES.data_root={}", folder.path().join("nowhere").display());
    let arguments =
        ["run", "pipelines/fives.yml", "--set", &set, "--set", "trainer.device=cpu", "--out", out.to_str().unwrap()];
    let output = pipeline(&arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for words in ["nowhere", "10.6084/m9.figshare.19688169", "pipeline sample", "files"] {
        assert!(text.contains(words), "the error doesn't say {words}: {text}");
    }
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(json(&out.join("summary.json"))["status"], "failed");
}

#[test]
fn an_epoch_in_which_nothing_is_trained_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("FIVES"), folder.path().join("run"));
    let drawn = pipeline(&["sample", data.to_str().unwrap(), "--pairs", "5", "--size", "64"]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let text = format!(
        "trainer: {{device: cpu, num_epochs: 2, checkpoint: {{keep: 0}}}}
stages:
  - {{id: files, use: fives, with: {{root: '{}'}}}}
  - {{id: decode, use: decode}}
  - {{id: batch, use: batch, with: {{size: 16, drop_last: true}}}}
  - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}
  - {{id: accum, use: accumulate, with: {{steps: 1}}}}
  - {{id: optim, use: optimizer_step, with: {{sgd: {{lr: 0.1}}}}}}
  - {{id: clean, use: cleanup}}
",
        data.display()
    );
    let file = folder.path().join("dropped.yml");
    fs::write(&file, &text).unwrap();
    let output = pipeline(&["run", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("nothing was trained in epoch 1") && said.contains("drop_last"), "{said}");
    assert!(!said.contains("NaN"), "{said}");
    assert_eq!(json(&out.join("summary.json"))["status"], "failed");
    // Where the number of samples is known before, so is this.
    fs::write(&file, text.replace("fives, with: {root:", "synthetic_fundus, with: {pairs: 5, size: 64} } #")).unwrap();
    let output = pipeline(&["validate", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("`drop_last` drops all of an epoch"), "{said}");
}

#[test]
fn a_drawn_sample_set_trains_through_the_fives_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let drawn = pipeline(&["sample", data.to_str().unwrap(), "--pairs", "5", "--size", "96"]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    train_fives(&data, &folder.path().join("run"), 64);
}

#[test]
fn real_photographs_train_through_the_fives_pipeline() {
    let data = root().join("../shared/data/FIVES");
    if !data.exists() {
        eprintln!("no real photographs beside the checkout: only the drawn ones are tested");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    train_fives(&data, &folder.path().join("run"), 64);
}

fn train_fives(data: &Path, out: &Path, size: usize) {
    let (data, size) = (format!("dataset.FIVES.data_root={}", data.display()), format!("dataset.FIVES.image_size={size}"));
    let mut arguments = vec!["run", "pipelines/fives.yml", "--out", out.to_str().unwrap()];
    let model = "stages.train.with.model={unet: {base: 4, depth: 3}}";
    for set in [&data, &size, "trainer.device=cpu", "trainer.num_epochs=1", model] {
        arguments.extend(["--set", set]);
    }
    let output = pipeline(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["status"], "complete");
    assert!(summary["eval"]["auc"].as_f64().unwrap() > 0.0);
    let (validate, test) = (&summary["evals"]["validate"], &summary["evals"]["evaluate"]);
    assert_eq!((&validate["part"], &test["part"]), (&"validation".into(), &"test".into()));
    let chosen = validate["chosen_threshold"].as_f64().unwrap();
    assert_eq!((&validate["threshold"], test["threshold"].as_f64()), (&0.5.into(), Some(chosen)), "what validation chose");
    assert!(
        validate["chosen_dice"].as_f64().unwrap() >= validate["dice"].as_f64().unwrap() && test["chosen_threshold"].is_null()
    );
}

/// On the CPU the device's figures are what its lane allocated. With wide layers and tiny images that is little more than weights,
/// gradients and the optimizer's two moments, so they can be compared with the weights' file.
#[test]
fn the_device_holds_at_least_weights_gradients_and_moments() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let wide = ["--set", "stages.train.with.model={unet: {base: 64, depth: 3}}", "--set", "dataset.drawn.image_size=32"];
    let few = ["--set", "dataset.drawn.pairs=4", "--set", "trainer.num_epochs=2"];
    let summary = run_small(&out, &[wide, few].concat());
    let bytes = fs::read(out.join("model.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights: usize = tensors.iter().map(|(_, tensor)| tensor.data().len()).sum();
    // Tensors of less than 4 KiB aren't counted; of these layers they are hardly a hundredth.
    let counted = weights as f64 * 0.98;
    let memory = |name: &str| summary["memory"][name].as_u64().unwrap() as f64;
    let (device, host) = (memory("device_measured_peak"), memory("host_allocated_peak"));
    assert!(device >= 4.0 * counted, "{device} bytes for weights of {weights}");
    assert!(device <= 12.0 * weights as f64, "{device} bytes for weights of {weights}: hardly the device's alone");
    assert!(host > 0.0 && host < device, "{host} bytes on the host's side, {device} on the device's");
    assert!(memory("process_measured_peak") >= device);
    assert!(summary["memory"]["cards"].is_null() || summary["memory"]["cards"].is_array());
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let steps = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["event"] == "step");
    for step in steps {
        let now = step["device_bytes"].as_u64().unwrap() as f64;
        assert!(now >= 3.0 * counted, "weights and moments stay between steps: {now} of {weights}");
    }
}

/// The system itself refuses: an address space too small for the file's settings.
#[cfg(target_os = "linux")]
#[test]
fn a_run_survives_what_the_system_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let mut losses = Vec::new();
    for (name, limit) in [("plenty", "unlimited"), ("scarce", "600000")] {
        let out = folder.path().join(name);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v $0 && exec \"$@\"", limit, env!("CARGO_BIN_EXE_pipeline")]);
        command.args(["run", "pipelines/quickstart.yml", "--out", out.to_str().unwrap()]).args(SMALL);
        for set in ["dataset.drawn.image_size=512", "dataset.drawn.batch_size=4", "trainer.gradient_accumulation_steps=1"] {
            command.args(["--set", set]);
        }
        command.args(["--set", "dataset.drawn.pairs=4", "--set", "trainer.num_epochs=1"]);
        command.args(["--set", "stages.train.with.model={unet: {base: 16, depth: 4}}"]);
        // Each thread's arena would take a share of the address space.
        let output = command.env("MALLOC_ARENA_MAX", "1").current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let retries = events(&out, "retry");
        assert_eq!(retries.is_empty(), limit == "unlimited", "{retries:?}");
        assert!(retries.iter().all(|retry| retry["what"].as_str().unwrap().contains("the system refused")), "{retries:?}");
        losses.push(events(&out, "step")[0]["loss"].as_f64().unwrap());
    }
    assert!((losses[0] - losses[1]).abs() < 1e-5, "{losses:?}");
}

fn events(out: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["event"] == name).collect()
}

/// The plan, made without running anything, against what was allocated.
#[test]
fn a_run_takes_what_was_planned() {
    let folder = tempfile::tempdir().unwrap();
    for (at, (precision, checkpointing, norm)) in
        [("no", "none", "group"), ("fp16", "blocks", "batch"), ("bf16", "full", "instance"), ("no", "full", "group")]
            .into_iter()
            .enumerate()
    {
        let out = folder.path().join(at.to_string());
        let (precision, checkpointing) =
            (format!("trainer.mixed_precision='{precision}'"), format!("trainer.gradient_checkpointing={checkpointing}"));
        let model = format!("stages.train.with.model={{unet: {{base: 16, depth: 3, norm: {norm}}}}}");
        let mut more = Vec::new();
        for set in [&precision, &checkpointing, &model] {
            more.extend(["--set", set]);
        }
        more.extend([
            "--set",
            "dataset.drawn.image_size=192",
            "--set",
            "trainer.num_epochs=1",
            "--set",
            "dataset.drawn.pairs=8",
        ]);
        let memory = run_small(&out, &more)["memory"].clone();
        let bytes = |name: &str| memory[name].as_u64().unwrap() as f64;
        let (planned, measured) = (bytes("device_planned_peak"), bytes("device_measured_peak"));
        assert!((planned / measured - 1.0).abs() < 0.05, "{precision} {checkpointing} {norm}: {planned} for {measured}");
    }
}

/// An average of the weights is one more copy of them, in the plan, on the ledger and for the allocator; it is what is evaluated and
/// exported, and training doesn't change by it.
#[test]
fn an_average_of_the_weights_is_planned_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, averaged) = (folder.path().join("plain"), folder.path().join("averaged"));
    let model = ["--set", "stages.train.with.model={unet: {base: 16, depth: 3}}"];
    run_small(&plain, &model);
    let summary = run_small(&averaged, &[&model[..], &["--set", "stages.optim.with.ema=0.9"]].concat());
    let plan = &events(&averaged, "plan")[0];
    let steps = events(&averaged, "step");
    let held = &steps.last().unwrap()["device_peak_by_cause"];
    assert_eq!(held, &plan["device_peak_by_cause"], "the plan is the ledger's, cause by cause");
    assert_eq!((&held["average_weights"], held["average_weights"].is_u64()), (&held["weights"], true));
    let bytes = |name: &str| summary["memory"][name].as_u64().unwrap() as f64;
    let (planned, measured) = (bytes("device_planned_peak"), bytes("device_measured_peak"));
    assert!((planned / measured - 1.0).abs() < 0.05, "{planned} for {measured}");
    let figures = |out: &Path, event: &str, name: &str| -> Vec<Value> {
        events(out, event).iter().map(|event| event[name].clone()).collect()
    };
    assert_eq!(figures(&plain, "step", "loss"), figures(&averaged, "step", "loss"), "training is the same");
    assert_ne!(figures(&plain, "eval", "auc"), figures(&averaged, "eval", "auc"));
    let weights = |out: &Path| model::weights(out, "last");
    assert_ne!(weights(&plain), weights(&averaged));
}

/// Tiles in a pass are what an evaluation takes, however large the photographs are, and a worker's pieces are counted.
#[test]
fn patches_and_tiles_take_what_was_planned() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    let drawn = pipeline(&["sample", data.to_str().unwrap(), "--pairs", "4", "--size", "250"]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let root = format!("dataset.FIVES.data_root={}", data.display());
    let mut arguments = vec!["run", "pipelines/fives_patches.yml", "--out", out.to_str().unwrap()];
    for set in [
        &root,
        "dataset.FIVES.patch_size=64",
        "dataset.FIVES.batch_size=1",
        "stages.crop.with.per_image=5",
        "dataset.FIVES.evaluate_every=1",
        "stages.validate.with.tiles={size: 128, overlap: 0.25, batch: 4}",
        "stages.evaluate.with.tiles={size: 128, overlap: 0.25, batch: 4}",
        "trainer.device=cpu",
        "trainer.num_epochs=1",
        "trainer.mixed_precision='no'",
        "stages.train.with.model={unet: {base: 16, depth: 3}}",
    ] {
        arguments.extend(["--set", set]);
    }
    let output = pipeline(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&out.join("summary.json"));
    assert_eq!((&summary["samples"], &summary["eval"]["images"]), (&10.into(), &1.into()));
    let bytes = |name: &str| summary["memory"][name].as_u64().unwrap() as f64;
    let (planned, measured) = (bytes("device_planned_peak"), bytes("device_measured_peak"));
    // Four tiles of 128 x 128 take more than the training with one piece of 64 x 64.
    assert!((planned / measured - 1.0).abs() < 0.05, "{planned} planned, {measured} taken");
    assert!(bytes("host_measured_peak") <= bytes("host_planned_peak"), "{}", summary["memory"]);
    let plan = events(&out, "plan");
    let held = plan[0]["host_by_cause"].as_object().unwrap();
    let workers = held.iter().find(|(cause, _)| cause.contains("decode+crop")).map(|(_, bytes)| bytes.as_u64().unwrap());
    assert_eq!(workers, Some(2 * 4 * 5 * 64 * 64 * 4), "{held:?}");
}

/// Tiles that a file leaves open are chosen for its budget, and the run takes what was planned for them. Its resolved file has them in
/// numbers, and chooses nothing again.
#[test]
fn open_tiles_are_chosen_for_a_budget() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let drawn = pipeline(&["sample", data.to_str().unwrap(), "--pairs", "4", "--size", "250"]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let root = format!("dataset.FIVES.data_root={}", data.display());
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let mut arguments = vec!["run", "pipelines/fives_patches.yml", "--out", out.to_str().unwrap()];
        let small = [
            &root,
            "dataset.FIVES.patch_size=64",
            "dataset.FIVES.batch_size=1",
            "dataset.FIVES.evaluate_every=1",
            "stages.validate.with.tiles={size: auto}",
            "stages.evaluate.with.tiles={size: auto, overlap: 0.25, batch: auto}",
            "trainer.device=cpu",
            "trainer.num_epochs=1",
            "trainer.mixed_precision='no'",
            "stages.train.with.model={unet: {base: 8, depth: 3}}",
        ];
        for set in small.iter().copied().chain(more.iter().copied()) {
            arguments.extend(["--set", set]);
        }
        let output = pipeline(&arguments);
        (out, output)
    };
    let tiles = |out: &Path| {
        let resolved: serde_json::Value =
            serde_saphyr::from_str(&fs::read_to_string(out.join("resolved.yml")).unwrap()).unwrap();
        let stages = resolved["stages"].as_array().unwrap().clone();
        ["validate", "evaluate"].map(|id| stages.iter().find(|stage| stage["id"] == id).unwrap()["with"]["tiles"].clone())
    };
    let budget = 100 << 20;
    let set = format!("trainer.memory_budget={budget}");
    let (out, output) = run("large", &[&set]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("tiles of `evaluate`: "), "{said}");
    let [validate, evaluate] = tiles(&out);
    assert_eq!((&validate["batch"], &validate["overlap"], &evaluate["overlap"]), (&1.into(), &0.5.into(), &0.25.into()));
    assert!(
        [&validate, &evaluate].iter().all(|tiles| tiles["size"].as_u64() > Some(64)),
        "larger ones are faster: {validate} {evaluate}"
    );
    let memory = |out: &Path, name: &str| json(&out.join("summary.json"))["memory"][name].as_u64().unwrap();
    assert!(memory(&out, "device_measured_peak") <= budget);
    let charged = events(&out, "step");
    let held: u64 = charged.last().unwrap()["device_peak_by_cause"]
        .as_object()
        .unwrap()
        .values()
        .map(|bytes| bytes.as_u64().unwrap())
        .sum();
    assert!(held <= memory(&out, "device_planned_peak"), "the last step is before the evaluation");
    let (planned, measured) = (memory(&out, "device_planned_peak") as f64, memory(&out, "device_measured_peak") as f64);
    assert!((planned / measured - 1.0).abs() < 0.05, "{planned} planned, {measured} taken");
    // Run again, it chooses nothing.
    let again = folder.path().join("again");
    let output = pipeline(&["run", out.join("resolved.yml").to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(tiles(&again), tiles(&out));
    assert_eq!(fs::read(again.join("figures.csv")).unwrap(), fs::read(out.join("figures.csv")).unwrap());
    // Without a budget: the size that is trained, one at a time.
    let (plain, output) = run("plain", &["trainer.memory_budget=0"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let pinned =
        ["stages.validate.with.tiles={size: 64, batch: 1}", "stages.evaluate.with.tiles={size: 64, overlap: 0.25, batch: 1}"];
    let (same, output) = run("same", &["trainer.memory_budget=0", pinned[0], pinned[1]]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(plain.join("figures.csv")).unwrap(), fs::read(same.join("figures.csv")).unwrap());
    // Tiles that the file names and that don't fit are an error with those that do.
    let pinned = "stages.evaluate.with.tiles={size: 2048}";
    let (_, output) = run("none", &["trainer.memory_budget=20MiB", pinned]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("an evaluation in tiles of 2048 x 2048 doesn't"), "{said}");
    assert!(said.contains("fit: set `tiles.size` to that"), "{said}");
}

/// A budget is held: the run says what it chose, and takes no more.
#[test]
fn a_run_stays_under_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let budget = 12 << 20;
    let set = format!("trainer.memory_budget={budget}");
    let more = ["--set", &set, "--set", "dataset.drawn.image_size=160", "--set", "trainer.num_epochs=1"];
    let summary = run_small(&folder.path().join("run"), &more);
    assert!(summary["memory"]["device_measured_peak"].as_u64().unwrap() <= budget, "{}", summary["memory"]);
    assert_eq!(summary["samples"], 10);
    let resolved = fs::read_to_string(folder.path().join("run/resolved.yml")).unwrap();
    assert!(resolved.contains("fit_may_change: []"), "the choice is final: {resolved}");
    // No limit, and nothing to plan, keep no file from running.
    run_small(&folder.path().join("none"), &["--set", "trainer.memory_budget=0"]);
    // Nothing fits one of them: the error says what would, before anything is run.
    let small = format!("trainer.memory_budget={}", 1 << 20);
    let output =
        pipeline(&["run", "pipelines/quickstart.yml", "--set", &small, "--out", folder.path().join("small").to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("need a budget of"), "{said}");
}

/// Memory that is refused in the middle of a window costs no sample and changes nothing but the setting.
#[test]
fn a_run_survives_running_out_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = run_small(&folder.path().join("whole"), &[]);
    let out = folder.path().join("refused");
    let mut arguments = vec!["run", "pipelines/quickstart.yml", "--out", out.to_str().unwrap()];
    arguments.extend(SMALL);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    let output = command.args(arguments).env("PIPELINE_REFUSE_MEMORY_IN", "500").current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&out.join("summary.json"));
    assert_eq!((&summary["samples"], &summary["steps"]), (&undisturbed["samples"], &undisturbed["steps"]));
    let retries = events(&out, "retry");
    assert_eq!(retries.len(), 1, "{retries:?}");
    assert_ne!(retries[0]["to"]["gradient_checkpointing"], "none", "{retries:?}");
    let losses = |out: &Path| events(out, "step").iter().map(|step| step["loss"].as_f64().unwrap()).collect::<Vec<_>>();
    let (expected, actual) = (losses(&folder.path().join("whole")), losses(&out));
    assert!(expected.iter().zip(&actual).all(|(a, b)| (a - b).abs() < 1e-4), "{expected:?} {actual:?}");
}

/// Peak memory of the data side doesn't grow with the data set.
#[test]
fn memory_is_flat_in_the_number_of_samples() {
    let folder = tempfile::tempdir().unwrap();
    let peak = |samples: usize| {
        let file = folder.path().join(format!("{samples}.yml"));
        let text = format!(
            "name: flat\ntrainer: {{num_epochs: 1}}\nstages:\n  - {{id: eyes, use: synthetic_fundus, with: {{pairs: {samples}, size: 96, split: train}}}}\n  \
             - {{id: decode, use: decode, workers: 2}}\n  - {{id: augment, use: augment, with: {{flip: true}}}}\n  - {{id: sheet, use: preview, with: {{pairs: 4}}}}\n"
        );
        fs::write(&file, text).unwrap();
        let out = folder.path().join(samples.to_string());
        let output = pipeline(&["run", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let summary = json(&out.join("summary.json"));
        (summary["memory"]["host_measured_peak"].as_u64().unwrap(), summary["memory"]["process_measured_peak"].as_u64())
    };
    let (few, many) = (peak(200), peak(2000));
    // How much is under way at once depends on timing, but never on the number of samples: what two workers have in hand and
    // done, what the edge behind them holds, and the one that is being shown, 96 x 96 pixels of four bytes each.
    let most = (2 * 2 + 4 + 1) * 96 * 96 * 4 + 4 * 100;
    assert!(few.0 <= most && many.0 <= most, "payloads: {few:?} bytes for 200 samples, {many:?} for 2000, at most {most}");
    if let (Some(few), Some(many)) = (few.1, many.1) {
        // The names of 1,800 samples more, and what the allocator keeps of them, are no part of the 5%.
        assert!(many as f64 <= few as f64 * 1.05 + 1e6, "process: {few} bytes for 200 samples, {many} for 2000");
    }
}

/// The first signal stops the run with a model of whole windows.
#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_a_valid_state() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut arguments = vec!["run", "pipelines/quickstart.yml", "--out", out.to_str().unwrap(), "--quiet"];
    arguments.extend(SMALL);
    arguments.extend(["--set", "trainer.num_epochs=100000"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_pipeline")).args(&arguments).current_dir(root()).spawn().unwrap();
    let steps =
        |out: &Path| fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default().matches("\"event\":\"step\"").count();
    while steps(&out) < 7 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary = json(&out.join("summary.json"));
    assert_eq!(summary["status"], "interrupted");
    assert_eq!(summary["steps"].as_u64(), Some(steps(&out) as u64));
    let bytes = fs::read(out.join("model.safetensors")).unwrap();
    assert!(safetensors::SafeTensors::deserialize(&bytes).unwrap().len() > 20);
}
