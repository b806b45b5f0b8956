//! What a user sees of the program: answers, help and exit codes. Trains nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn pipeline(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(arguments).env_remove("PIPELINE_LOG").env_remove("NO_COLOR").current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a command that must have ended with `code`.
fn answer(arguments: &[&str], code: i32) -> String {
    let output = pipeline(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Standard error of a command that must have ended with `code`.
fn complaint(arguments: &[&str], code: i32) -> String {
    let output = pipeline(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

fn written(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

const GOOD: &str = "pipelines/quickstart.yml";

#[test]
fn help_names_every_command_and_every_exit_code() {
    let help = answer(&["--help"], 0);
    for word in ["run", "validate", "preview", "dot", "verify", "stages", "schema", "sample", "PIPELINE_LOG", "130"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    for command in ["run", "validate", "preview", "dot", "verify", "stages", "schema", "sample"] {
        assert!(answer(&[command, "--help"], 0).contains("--color"), "{command}");
    }
    assert!(answer(&["--version"], 0).starts_with("pipeline "));
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors() {
    for arguments in
        [&["trian"][..], &["dot"], &["stages", "--colour"], &["validate", GOOD, "-q", "-v"], &["sample", "x", "--pairs", "few"]]
    {
        assert!(!complaint(arguments, 2).is_empty(), "{arguments:?}");
    }
    assert!(complaint(&["trian"], 2).contains("run") || complaint(&["trian"], 2).contains("unrecognized"));
}

#[test]
fn a_good_file_is_ok() {
    let said = answer(&["validate", GOOD], 0);
    assert!(said.contains(&format!("{GOOD}: ok (13 stages, ")), "{said}");
    let json: serde_json::Value = serde_json::from_str(&answer(&["validate", GOOD, "--json"], 0)).unwrap();
    assert_eq!((json[0]["ok"].as_bool(), json[0]["stages"].as_u64()), (Some(true), Some(13)));
}

#[test]
fn all_problems_of_all_files_are_told_and_good_files_still_pass() {
    let folder = tempfile::tempdir().unwrap();
    let bad = written(
        folder.path(),
        "bad.yml",
        "name: x\nstages:\n  - {id: a, use: decoed}\n  - {id: b, use: resise, with: {sise: 3}}\n",
    );
    let said = answer(&["validate", &bad, GOOD], 1);
    for word in ["bad.yml:3", "bad.yml:4", "decode", "resize", "errors in", &format!("{GOOD}: ok")] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    assert!(!said.contains('\x1b'), "no colours without a terminal");
    assert!(answer(&["validate", &bad, "--color", "always"], 1).contains('\x1b'));
    let json: serde_json::Value = serde_json::from_str(&answer(&["validate", &bad, "--json"], 1)).unwrap();
    assert!(json[0]["problems"].as_array().unwrap().len() >= 2);
    assert!(json[0]["problems"].as_array().unwrap().iter().any(|problem| problem["place"]["line"] == 3));
    answer(&["validate", "no/such/file.yml"], 1);
    answer(&["validate", GOOD, "--set", "trainer.num_epochs=none"], 1);
}

#[test]
fn graphs_are_drawn_in_every_format() {
    assert!(answer(&["dot", GOOD], 0).starts_with("digraph"));
    assert!(answer(&["dot", GOOD, "--format", "svg"], 0).starts_with("<svg"));
    assert!(answer(&["dot", GOOD, "--format", "mermaid"], 0).contains("flowchart"));
    assert_eq!(answer(&["dot", GOOD, "--format", "ascii"], 0).matches('●').count(), 13);
    complaint(&["dot", GOOD, "--format", "png"], 2);
    assert!(complaint(&["dot", "no/such/file.yml"], 1).contains("no/such/file.yml"));
}

#[test]
fn a_graph_is_coloured_by_a_run_and_written_where_asked() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().display().to_string();
    assert!(complaint(&["dot", GOOD, "--run", &run], 3).contains("summary.json"));
    let stages = r#"{"status": "complete", "stages": [{"stage": "train", "items": 4, "busy_seconds": 3.0}, {"stage": "decode", "items": 4, "busy_seconds": 1.0}]}"#;
    written(folder.path(), "summary.json", stages);
    let picture = folder.path().join("graph.svg").display().to_string();
    assert_eq!(answer(&["dot", GOOD, "--run", &run, "--out", &picture], 0), "");
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("75%") && svg.contains("25%"));
    let nowhere = folder.path().join("no/folder.svg").display().to_string();
    assert!(complaint(&["dot", GOOD, "--out", &nowhere], 3).contains("can't write"));
}

/// A summary may be a stranger's too: one without an end is not read to it.
#[cfg(unix)]
#[test]
fn a_summary_is_read_no_further_than_a_summary_goes() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("summary.json")).unwrap();
    let run = folder.path().display().to_string();
    assert!(complaint(&["dot", GOOD, "--run", &run], 3).contains("can't read where the run's time went"));
}

#[test]
fn stages_are_listed_and_described() {
    let list = answer(&["stages"], 0);
    for word in ["files -> image_pair", "train_step", "optimizer_step", "augment"] {
        assert!(list.contains(word), "{word} is not in {list}");
    }
    let kinds: serde_json::Value = serde_json::from_str(&answer(&["stages", "--json"], 0)).unwrap();
    for kind in kinds.as_array().unwrap() {
        let name = kind["name"].as_str().unwrap();
        let described = answer(&["stages", name], 0);
        assert!(described.starts_with(&format!("{name}: ")) && described.contains("example"), "{described}");
    }
    assert!(complaint(&["stages", "resise"], 2).contains("did you mean `resize`?"));
    assert!(complaint(&["stages", "xyzzy"], 2).contains("there are "));
}

#[test]
fn the_schema_is_json_and_knows_the_kinds() {
    let schema: serde_json::Value = serde_json::from_str(&answer(&["schema"], 0)).unwrap();
    assert!(schema["$schema"].is_string());
    assert!(schema.to_string().contains("\"resize\""));
}

#[test]
fn a_sample_set_is_drawn_and_the_next_command_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("drawn").display().to_string();
    let said = answer(&["sample", &dir, "--pairs", "2", "--size", "64"], 0);
    assert!(said.contains("to train on") && said.contains("pipeline run"), "{said}");
    assert!(Path::new(&dir).join("train/Original").is_dir());
    assert!(complaint(&["sample", &dir, "--pairs", "2", "--size", "64"], 3).contains("is not empty"));
    let file = written(folder.path(), "file", "");
    assert!(complaint(&["sample", &format!("{file}/below"), "--pairs", "2", "--size", "64"], 3).contains("can't write"));
}

#[test]
fn a_sample_set_with_classes_tells_how_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("drawn").display().to_string();
    let said = answer(&["sample", &dir, "--pairs", "2", "--size", "64", "--classes"], 0);
    assert!(said.contains("labels: {artery: [255, 0, 0], vein: [0, 0, 255]}"), "{said}");
}

#[test]
fn labels_are_checked_before_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let with = |decode: &str, classes: bool| {
        let file = format!(
            "trainer: {{num_epochs: 1}}\nstages:\n  - {{id: files, use: synthetic_fundus, with: {{classes: {classes}}}}}\n  \
             - {{id: decode, use: decode, with: {decode}}}\n  - {{id: preview, use: preview}}\n"
        );
        written(folder.path(), "labels.yml", &file)
    };
    for (decode, problem) in [
        ("{labels: {}}", "`labels` of `decode` must be a map of 1 to 255 names"),
        ("{labels: [255]}", "`labels` of `decode` must be a map of 1 to 255 names"),
        ("{labels: {vessel: 256}}", "`labels.vessel` of `decode` must be a whole number from 0 to 255, found 256"),
        ("{labels: {vessel: [1, 2]}}", "`labels.vessel` of `decode` must be a list of 3 values"),
        ("{labels: {artery: 9, vein: [9, 9, 9]}}", "`artery` and `vein` have the same value, 9"),
        ("{labels: {artery: 0}}", "`artery` is black, and so is the background"),
        ("{labels: {artery: [255, 0, 0]}}", "the drawn masks hold [0, 0, 255], which has no label"),
        ("{tolerance: 9}", "`tolerance` does nothing without `labels`"),
        ("{}", "decode has no `labels` for them"),
    ] {
        let said = answer(&["validate", &with(decode, true)], 1);
        assert!(said.contains(problem) && said.contains("labels.yml:"), "{decode}: {said}");
    }
    for (decode, classes) in
        [("{labels: {artery: [255, 0, 0], vein: [0, 0, 255]}}", true), ("{labels: {v: 255}}", false), ("{}", false)]
    {
        answer(&["validate", &with(decode, classes)], 0);
    }
}

#[test]
fn verify_says_what_it_can_not_do() {
    assert!(complaint(&["verify", "no/such/file.yml"], 1).contains("no/such/file.yml"));
    assert!(complaint(&["verify", "reference.bin"], 2).contains(".safetensors"));
    assert!(complaint(&["verify", "no/such/reference.safetensors"], 3).contains("can't verify"));
}

/// What `pipeline plan` says as JSON.
fn planned(more: &[&str]) -> serde_json::Value {
    let arguments: Vec<&str> = ["plan", GOOD, "--json", "--quiet"].iter().chain(more).copied().collect();
    serde_json::from_str(&answer(&arguments, 0)).unwrap()
}

#[test]
fn a_plan_names_causes_and_follows_the_policies() {
    let text = answer(&["plan", GOOD], 0);
    for part in ["device: ", "saved activations", "decode.0", "host: ", "queue batch -> train"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let total = |plan: &serde_json::Value| plan["device"]["peak"].as_u64().unwrap();
    let plain = planned(&[]);
    let causes = plain["device"]["causes"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum::<u64>();
    assert_eq!(causes, total(&plain), "the causes are all there is");
    let blocks = planned(&["--set", "trainer.gradient_checkpointing=blocks"]);
    let full = planned(&["--set", "trainer.gradient_checkpointing=full"]);
    assert!(total(&plain) > total(&blocks) && total(&blocks) > total(&full));
    assert!(total(&planned(&["--set", "trainer.mixed_precision=bf16"])) < total(&plain));
}

#[test]
fn a_plan_says_that_evaluation_is_tiled() {
    let plan = |more: &[&str]| {
        let fixed = [
            "plan",
            "pipelines/fives_patches.yml",
            "--quiet",
            "--set",
            "trainer.device=cpu",
            "--set",
            "trainer.mixed_precision='no'",
        ];
        let small = ["--set", "trainer.memory_budget=0", "--set", "dataset.FIVES.patch_size=64"];
        answer(&fixed.iter().chain(&small).chain(more).copied().collect::<Vec<_>>(), 0)
    };
    let text = plan(&[]);
    assert_eq!(text.matches("evaluation tile by tile: 64 x 64, overlap 0.5, 4 at a time\n").count(), 1, "{text}");
    let other = ["--set", "stages.evaluate.with.tiles={size: auto, overlap: 0.25}"];
    let text = plan(&other);
    for line in
        ["in `validate`: 64 x 64, overlap 0.5, 4 at a time\n", "in `evaluate`: 64 x 64 (auto), overlap 0.25, 1 at a time\n"]
    {
        assert!(text.contains(&format!("evaluation tile by tile {line}")), "{text}");
    }
    let plan: serde_json::Value = serde_json::from_str(&plan(&[&other[..], &["--json"]].concat())).unwrap();
    let tiles = &plan["settings"]["evaluation_tiles"];
    assert_eq!(tiles[1], serde_json::json!({"stage": "evaluate", "height": 64, "width": 64, "overlap": 0.25, "batch": 1}));
    assert!(!answer(&["plan", GOOD], 0).contains("tile by tile"));
}

#[test]
fn a_fit_keeps_the_window_and_names_what_would_fit() {
    let plan = planned(&["--budget", "1GiB"]);
    let candidates = plan["fit"]["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 9, "three cuts of four samples, three modes");
    for candidate in candidates {
        let number = |name: &str| candidate[name].as_u64().unwrap();
        assert_eq!(number("micro_batch") * number("accumulation"), 4);
        assert_eq!(candidate["mixed_precision"], "no", "what changes results is not chosen unasked");
    }
    assert!(candidates[0]["why_not"].is_null() && candidates[1]["why_not"].is_string());
    let free = planned(&["--budget", "1GiB", "--set", "trainer.fit_may_change=[mixed_precision]"]);
    assert_eq!(free["fit"]["candidates"].as_array().unwrap().len(), 3, "the rest is pinned");
    let output = pipeline(&["plan", GOOD, "--json", "--quiet", "--budget", "1MiB"]);
    assert_eq!(output.status.code(), Some(1));
    let none: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let smallest = none["fit"]["smallest_budget"].as_u64().unwrap();
    assert!(planned(&["--budget", &smallest.to_string()])["fit"]["candidates"][0]["why_not"].is_null(), "{smallest} do");
    let image = none["fit"]["largest_image"].as_u64().unwrap();
    assert!(image < 160 && image.is_multiple_of(4), "{image}");
}

#[test]
fn a_file_can_be_verified_against_one_batch() {
    let half = ["verify", GOOD, "--set", "trainer.mixed_precision=bf16", "--set", "trainer.gradient_checkpointing=full"];
    let text = answer(&half, 0);
    assert!(text.contains("a window of 2 micro-batches (4 samples)") && text.contains("gives the large batch's"), "{text}");
    let batch = ["verify", GOOD, "--set", "stages.train.with.model={unet: {base: 8, depth: 3, norm: batch}}"];
    let output = pipeline(&batch);
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("batch norm takes its statistics from the micro-batch"), "{}", text_of(&output));
}

fn text_of(output: &std::process::Output) -> String {
    text(&output.stdout)
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    // The reader is gone before the first byte: writing meets a broken pipe.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    let output = command.arg("stages").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

/// Libraries panic and log errors where there is no driver: the list says so instead, and nothing else is printed.
#[test]
fn devices_that_cant_be_used_are_listed_and_nothing_panics_aloud() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(["devices", "--json"]).env("RUST_BACKTRACE", "1").env("XDG_RUNTIME_DIR", std::env::temp_dir());
    let output = command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent").output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["devices"][0]["device"], "cpu");
    let unusable = answer["unusable"].as_array().unwrap();
    let vulkan = unusable.iter().find(|one| one["device"] == "vulkan");
    assert_eq!(vulkan.map(|one| &one["why"]), cfg!(feature = "vulkan").then_some(&"no Vulkan driver was found".into()));
}

#[test]
fn a_wrong_log_filter_is_told_and_passed_over() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    let output = command.arg("schema").env("PIPELINE_LOG", "pipeline=loud").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).starts_with("warning: PIPELINE_LOG"), "{}", text(&output.stderr));
}
