//! The stage `cache`: the same training with and without, whatever happens to the folder in which it keeps samples.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{outcome, said, signal, started};

/// Eight drawn photographs of 90 x 90 to train on and two to measure on, in the layout of FIVES.
fn photographs(folder: &Path) -> PathBuf {
    let data = folder.join("FIVES");
    let mut sample = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    sample.arg("sample").arg(&data).args(["--pairs", "10", "--size", "90"]);
    assert!(sample.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    data
}

/// A training on them with an evaluation at the photographs' own size; `cached` puts a cache behind `resize` on both sides.
fn file(folder: &Path, cached: bool) -> PathBuf {
    let data = folder.join("FIVES").display().to_string();
    let kept = |id: &str| match cached {
        true => format!("  - {{id: {id}, use: cache, with: {{folder: {}/kept}}}}\n", folder.display()),
        false => String::new(),
    };
    let text = format!(
        "name: cached\nseed: 5\ntrainer: {{device: cpu, num_epochs: 3, checkpoint: {{every_steps: 1}}}}\nstages:\n\
         \x20 - {{id: files, use: fives, with: {{root: '{data}', split: train, shuffle: true}}}}\n\
         \x20 - {{id: decode, use: decode, workers: 2}}\n\
         \x20 - {{id: resize, use: resize, with: {{size: 64}}}}\n{}\
         \x20 - {{id: augment, use: augment, with: {{flip: true, rotate: 20, brightness: 0.2}}}}\n\
         \x20 - {{id: batch, use: batch, with: {{size: 2}}}}\n\
         \x20 - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}\n\
         \x20 - {{id: accum, use: accumulate, with: {{steps: 2}}}}\n\
         \x20 - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.01}}}}}}\n\
         \x20 - {{id: test_files, use: fives, with: {{root: '{data}', split: test}}}}\n\
         \x20 - {{id: test_decode, use: decode, workers: 1}}\n\
         \x20 - {{id: test_resize, use: resize, with: {{size: 64}}}}\n{}\
         \x20 - {{id: test_batch, use: batch}}\n\
         \x20 - {{id: evaluate, use: evaluate, needs: [optim, test_batch]}}\n\
         \x20 - {{id: export, use: export, needs: optim}}\n",
        kept("cache"),
        kept("test_cache"),
    );
    let path = folder.join(if cached { "cached.yml" } else { "plain.yml" });
    fs::write(&path, text).unwrap();
    path
}

fn command(file: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("run").arg(file).arg("--out").arg(out).args(more).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn complete(file: &Path, out: &Path, more: &[&str]) -> Output {
    let output = command(file, out, more).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    output
}

/// Samples that the caches had, and that were made, in the training and in the evaluation.
fn used(out: &Path) -> [[u64; 2]; 2] {
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    ["cache_cache", "cache_test_cache"].map(|name| ["recalled", "made"].map(|count| summary[name][count].as_u64().unwrap()))
}

/// Pairs that are kept, and files that are being written.
fn kept(folder: &Path) -> [usize; 2] {
    let sets = fs::read_dir(folder.join("kept/pipeline-samples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir());
    let files: Vec<String> = sets
        .flat_map(|set| fs::read_dir(set).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()))
        .filter(|name| name != "used" && name != "about.json")
        .collect();
    let half = files.iter().filter(|name| name.ends_with(".tmp")).count();
    [files.len() - half, half]
}

#[test]
fn training_is_the_same_with_a_cold_and_a_warm_cache() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photographs(folder);
    let reference = folder.join("reference");
    complete(&file(folder, false), &reference, &[]);
    let cached = file(folder, true);
    for (name, set, expected) in [
        ("cold", &[][..], [[16, 8], [4, 2]]),
        ("warm", &[], [[24, 0], [6, 0]]),
        ("alone", &["--set", "stages.decode.workers=0"], [[24, 0], [6, 0]]),
        // Another size is another set.
        ("other", &["--set", "stages.resize.with.size=48", "--set", "stages.test_resize.with.size=48"], [[16, 8], [4, 2]]),
    ] {
        let out = folder.join(name);
        complete(&cached, &out, set);
        assert_eq!(used(&out), expected, "{name}");
        assert_eq!(outcome(&out) == outcome(&reference), name != "other", "{name}");
    }
    assert_eq!(kept(folder), [20, 0]);
    // A model is measured as in the run, from what was kept.
    let eval = |file: &Path| {
        let mut eval = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        let output = eval.arg("eval").arg(reference.join("last.safetensors")).arg(file).arg("--json").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        output.stdout
    };
    assert_eq!(eval(&cached), eval(&file(folder, false)));
}

/// Where the kills fall is up to the machine: each run is killed after another share of the first epoch.
#[test]
fn kills_while_it_is_written_leave_whole_samples_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photographs(folder);
    let (reference, cached) = (folder.join("reference"), file(folder, true));
    complete(&file(folder, false), &reference, &[]);
    let out = folder.join("killed");
    for pairs in [1, 2, 4, 7] {
        let there = |_: &Path| folder.join("kept/pipeline-samples").is_dir() && kept(folder)[0] >= pairs;
        let mut child = started(command(&cached, &out, &["--resume"]), &out, there);
        signal(&child, "KILL");
        child.wait().unwrap();
    }
    complete(&cached, &out, &["--resume"]);
    assert_eq!(outcome(&out), outcome(&reference));
    assert_eq!(kept(folder), [10, 0]);
    let again = folder.join("again");
    complete(&cached, &again, &[]);
    assert_eq!((used(&again), outcome(&again)), ([[24, 0], [6, 0]], outcome(&reference)));
}

#[test]
fn runs_that_share_a_cache_train_as_they_would_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photographs(folder);
    let (reference, cached) = (folder.join("reference"), file(folder, true));
    complete(&file(folder, false), &reference, &[]);
    let outs = ["a", "b", "c"].map(|name| folder.join(name));
    let children: Vec<_> = outs.iter().map(|out| command(&cached, out, &[]).spawn().unwrap()).collect();
    for (child, out) in children.into_iter().zip(&outs) {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(outcome(out), outcome(&reference));
    }
    assert_eq!(kept(folder), [10, 0]);
}

#[test]
fn a_file_that_changes_is_decoded_again_and_one_that_moves_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = photographs(folder);
    let cached = file(folder, true);
    complete(&cached, &folder.join("first"), &[]);
    let path = data.join("train/Original/2_D.png");
    image::open(&path).unwrap().flipv().save(&path).unwrap();
    let (reference, changed) = (folder.join("reference"), folder.join("changed"));
    complete(&file(folder, false), &reference, &[]);
    complete(&cached, &changed, &[]);
    assert_eq!(used(&changed), [[23, 1], [6, 0]]);
    assert_eq!(outcome(&changed), outcome(&reference));
    // What can't be read is broken as it would be without a cache.
    fs::write(&path, b"no image").unwrap();
    let output = command(&cached, &folder.join("broken"), &[]).output().unwrap();
    assert!(said(&output).contains("2_D.png is no PNG"), "{}", said(&output));
    let elsewhere = folder.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::rename(&data, elsewhere.join("FIVES")).unwrap();
    let photograph = elsewhere.join("FIVES/train/Original/2_D.png");
    fs::copy(elsewhere.join("FIVES/train/Original/1_A.png"), &photograph).unwrap();
    fs::copy(elsewhere.join("FIVES/train/Ground truth/1_A.png"), elsewhere.join("FIVES/train/Ground truth/2_D.png")).unwrap();
    let root = elsewhere.join("FIVES").display().to_string();
    let set = [format!("stages.files.with.root={root}"), format!("stages.test_files.with.root={root}")];
    let out = folder.join("moved");
    complete(&cached, &out, &["--set", &set[0], "--set", &set[1]]);
    assert_eq!(used(&out), [[24, 0], [6, 0]], "the copy of another one's pixels is known, too");
}

/// What is said of doubtful files doesn't depend on whether they are decoded.
#[test]
fn doubts_are_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = photographs(folder);
    let path = data.join("train/Ground truth/2_D.png");
    let mut mask = image::open(&path).unwrap();
    mask.invert();
    mask.save(&path).unwrap();
    let (plain, cached) = (file(folder, false), file(folder, true));
    let warnings = |name: &str| {
        let summary: Value = serde_json::from_slice(&fs::read(folder.join(name).join("summary.json")).unwrap()).unwrap();
        summary["warnings"].clone()
    };
    complete(&plain, &folder.join("plain"), &[]);
    complete(&cached, &folder.join("cold"), &[]);
    complete(&cached, &folder.join("warm"), &[]);
    assert_eq!(warnings("plain")[0]["kind"], json!("mask_share"));
    assert_eq!((warnings("cold"), warnings("warm")), (warnings("plain"), warnings("plain")));
    let best = "trainer.checkpoint.best={metric: dice, of: evaluate}";
    let output = command(&cached, &folder.join("strict"), &["--deny-warnings", "--set", best]).output().unwrap();
    assert!(output.status.code() == Some(3) && said(&output).contains("is vessel, and"), "{}", said(&output));
}

#[test]
fn a_folder_that_cannot_be_used_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photographs(folder);
    let (reference, cached) = (folder.join("reference"), file(folder, true));
    complete(&file(folder, false), &reference, &[]);
    let check = |name: &str, set: &[&str], words: &str| {
        let out = folder.join(name);
        let output = complete(&cached, &out, set);
        assert!(said(&output).contains(words), "{}", said(&output));
        assert_eq!(outcome(&out), outcome(&reference));
        used(&out)
    };
    fs::write(folder.join("kept"), "").unwrap();
    assert_eq!(check("file", &[], "cache: nothing is kept, and "), [[0, 24], [0, 6]]);
    fs::remove_file(folder.join("kept")).unwrap();
    // Room for three pairs of 64 x 64 and about a half.
    let limit = ["--set", "stages.cache.with.limit=50000", "--set", "stages.test_cache.with.limit=50000"];
    let [[recalled, made], _] = check("limit", &limit, "the folder has reached its limit of 50000 bytes (raise `limit`)");
    assert!(recalled > 0 && recalled + made == 24, "{recalled} {made}");
    let bytes: u64 = fs::read_dir(folder.join("kept/pipeline-samples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .flat_map(|set| fs::read_dir(set).unwrap())
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "about.json")
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(bytes <= 50_000, "{bytes}");
    // A full disk.
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).stderr(Stdio::null()).status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("no disk can be mounted here: nothing is said of full ones");
        return;
    }
    let at = format!("stages.cache.with.folder={}", disk.display());
    let [[recalled, made], _] = check("full", &["--set", &at], "No space left on device");
    let sets =
        fs::read_dir(disk.join("pipeline-samples")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let names = sets.flat_map(|set| fs::read_dir(set).unwrap()).map(|entry| entry.unwrap().path());
    let half = names.filter(|path| path.extension().is_some_and(|extension| extension == "tmp")).count();
    Command::new("umount").arg("-l").arg(&disk).status().unwrap();
    assert!(recalled > 0 && recalled + made == 24 && half == 0, "{recalled} {made} {half}");
}

/// A run may get a cache, or lose it, where it resumes.
#[test]
fn a_cache_may_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    photographs(folder);
    let (plain, cached) = (file(folder, false), file(folder, true));
    let reference = folder.join("reference");
    complete(&plain, &reference, &[]);
    let out = folder.join("out");
    let short = ["--set", "trainer.num_epochs=1"];
    complete(&plain, &out, &short);
    complete(&cached, &out, &["--resume", "--set", "trainer.num_epochs=2"]);
    complete(&plain, &out, &["--resume"]);
    let last = |out: &Path| support::model::weights(out, "last");
    assert_eq!(last(&out), last(&reference));
}

#[test]
fn a_cache_in_a_wrong_place_is_told_of_its_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let head = "name: wrong\ntrainer: {device: cpu, num_epochs: 1}\nstages:\n  - {id: files, use: synthetic_fundus, with: {pairs: 4, size: 32}}\n";
    let tail = "  - {id: batch, use: batch}\n  - {id: train, use: train_step, with: {model: {unet: {base: 4, depth: 2}}}}\n  \
                - {id: accum, use: accumulate}\n  - {id: optim, use: optimizer_step, with: {adamw: {lr: 0.01}}}\n  - {id: export, use: export}\n";
    let validate = |stages: &[&str]| {
        let path = folder.path().join("wrong.yml");
        let lines: String = stages.iter().map(|stage| format!("  - {stage}\n")).collect();
        fs::write(&path, format!("{head}{lines}{tail}")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_pipeline")).arg("validate").arg(path).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let [decode, cache] = ["{id: decode, use: decode}", "{id: cache, use: cache}"];
    assert!(validate(&[decode, cache]).contains("wrong.yml: ok"));
    assert!(validate(&[decode, "{id: normalize, use: normalize}", cache]).contains("wrong.yml: ok"));
    // The same for each sample in each epoch.
    assert!(
        validate(&[decode, "{id: prep, use: augment, with: {green: 1, clahe: {share: 1}}}", cache]).contains("wrong.yml: ok")
    );
    for (stages, words) in [
        (
            &[decode, "{id: augment, use: augment, with: {flip: true}}", cache][..],
            "`cache` would keep what `augment` draws anew in each epoch",
        ),
        (
            &[decode, "{id: crop, use: crop, with: {size: 16}}", cache],
            "`cache` would keep what `crop` draws anew in each epoch",
        ),
        (&[decode, cache, "{id: again, use: cache}"], "`again` comes after the cache `cache`"),
        (
            &["{id: decode, use: decode, workers: 1}", "{id: cache, use: cache, workers: 2}"],
            "must follow the stages whose work it keeps",
        ),
        (&[decode, "{id: cache, use: cache, bound: {items: 2}}"], "must follow the stages whose work it keeps"),
    ] {
        let said = validate(stages);
        assert!(said.contains(words) && said.contains("help: "), "{said}");
    }
}
