//! Two data sets that train together, as a user runs them: killed and resumed, with samples that are on both sides, and with what is wrong with a file.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(unix)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pipeline::contract::Event;
use serde_json::Value;
use support::{checkpoints, count, metrics, outcome, said, signal, started};

/// Draws two data sets into `folder`: `one` in the layout of FIVES, 64 x 64, and `two` by names such as those of CHASE_DB1, 48 x 48.
fn draw(folder: &Path) {
    let sample = |name: &str, more: [&str; 6]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        let status =
            command.arg("sample").arg(folder.join(name)).args(more).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.unwrap().success());
    };
    sample("one", ["--pairs", "9", "--size", "64", "--seed", "1"]);
    sample("drawn", ["--pairs", "9", "--size", "48", "--seed", "2"]);
    fs::create_dir(folder.join("two")).unwrap();
    for (from, to) in [("Original", "L.png"), ("Ground truth", "L_1stHO.png")] {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(folder.join("drawn/train").join(from)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for (path, number) in paths.iter().zip(1..) {
            fs::copy(path, folder.join("two").join(format!("Image_{number:02}{to}"))).unwrap();
        }
    }
}

const PATTERNS: &str = "image: 'Image_{child:[0-9]+}{eye:[LR]}.png', mask: 'Image_{child:[0-9]+}{eye:[LR]}_1stHO.png'";

/// The options `sources` of a mix of both sets; `one` and `two` are more options of each.
fn both(folder: &Path, [one, two]: [&str; 2], [heavy, light]: [&str; 2]) -> String {
    let folder = folder.display();
    format!(
        "sources: {{ONE: {{{heavy}from: {{fives: {{root: '{folder}/one', {one}}}}}}}, \
         TWO: {{{light}from: {{image_pairs: {{root: '{folder}/two', {PATTERNS}, {two}}}}}}}}}"
    )
}

/// A file that trains on `train`, the options of a mix, and measures the rest of both sets; `more` are further stages.
fn file(folder: &Path, train: &str, test: &str, more: &str) -> PathBuf {
    let text = format!(
        "name: mixed\nseed: 3\ntrainer: {{device: cpu, num_epochs: 3}}\nstages:\n  \
         - {{id: files, use: mix, with: {{{train}}}}}\n  - {{id: decode, use: decode, workers: 2}}\n  \
         - {{id: resize, use: resize, with: {{size: 32}}}}\n  - {{id: augment, use: augment, with: {{flip: true, brightness: 0.2}}}}\n  \
         - {{id: batch, use: batch, with: {{size: 2}}}}\n  \
         - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2, norm: batch}}}}}}}}\n  \
         - {{id: accum, use: accumulate, with: {{steps: 2}}}}\n  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.01}}}}}}\n  \
         - {{id: tests, use: mix, with: {{{test}}}}}\n  - {{id: tests_decode, use: decode}}\n  \
         - {{id: tests_resize, use: resize, with: {{size: 32}}}}\n  - {{id: tests_batch, use: batch}}\n  \
         - {{id: both, use: evaluate, needs: [optim, tests_batch]}}\n{more}  - {{id: export, use: export, needs: optim}}\n"
    );
    let file = folder.join("mixed.yml");
    fs::write(&file, text).unwrap();
    file
}

fn tests(folder: &Path) -> String {
    both(folder, ["split: test", "only: child=07..08"], ["", ""])
}

fn command(file: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("run").arg(file).arg("--out").arg(out).args(more).stdout(Stdio::null()).stderr(Stdio::piped());
    command.env("PIPELINE_CACHE", file.parent().unwrap().join("cache"));
    command
}

fn run(file: &Path, out: &Path, more: &[&str]) -> Output {
    command(file, out, more).output().unwrap()
}

fn complete(file: &Path, out: &Path, more: &[&str]) {
    let output = run(file, out, more);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn killed_and_resumed_in_any_order_it_comes_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    draw(folder);
    let mut weights = Vec::new();
    for order in ["together", "in_turn", "by_weight"] {
        // By weight the six of TWO come 14 times in an epoch of 18, the eight of ONE 4 times.
        let (given, epoch) =
            if order == "by_weight" { (["weight: 2, ", "weight: 7, "], "epoch: 18, ") } else { (["", ""], "") };
        let sources = both(folder, ["split: train", "only: child=01..06"], given);
        let file = file(folder, &format!("order: {order}, shuffle: true, {epoch}{sources}"), &tests(folder), "");
        let (reference, out) = (folder.join(format!("{order}-reference")), folder.join(order));
        complete(&file, &reference, &[]);
        let often = ["--resume", "--set", "trainer.checkpoint={every_steps: 1, keep: 3}"];
        for steps in [1, 3, 6, 8] {
            let mut child = started(command(&file, &out, &often), &out, |out| count(&metrics(out), "step") >= steps);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let child = started(command(&file, &out, &often), &out, |out| count(&metrics(out), "step") >= 10);
        signal(&child, "TERM");
        child.wait_with_output().unwrap();
        assert!(!checkpoints(&out).is_empty());
        complete(&file, &out, &often);
        let (sum, figures) = outcome(&reference);
        assert_eq!(outcome(&out), (sum.clone(), figures), "{order}");
        weights.push(sum);
        let samples = match metrics(&reference).pop().unwrap().event {
            Event::End(_) => metrics(&reference)
                .iter()
                .filter_map(|line| match &line.event {
                    Event::Step(step) => Some(step.samples),
                    _ => None,
                })
                .max(),
            _ => None,
        };
        assert_eq!(samples, Some(if order == "by_weight" { 54 } else { 42 }), "{order}");
    }
    weights.dedup();
    assert_eq!(weights.len(), 3, "orders differ");
    // A cache keeps a sample once, however often it comes.
    let text = fs::read_to_string(folder.join("mixed.yml")).unwrap();
    let resize = "  - {id: resize, use: resize, with: {size: 32}}\n";
    let cached = folder.join("cached.yml");
    fs::write(
        &cached,
        text.replace(
            resize,
            &format!("{resize}  - {{id: cache, use: cache, with: {{folder: '{}/kept'}}}}\n", folder.display()),
        ),
    )
    .unwrap();
    complete(&cached, &folder.join("cached"), &[]);
    assert_eq!(outcome(&folder.join("cached")), outcome(&folder.join("by_weight-reference")));
    let kept = fs::read_dir(folder.join("kept/pipeline-samples"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir());
    let pairs = kept.flat_map(|set| fs::read_dir(set).unwrap()).filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().to_string_lossy().into_owned();
        name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    assert_eq!(pairs.count(), 14);
}

#[test]
fn a_sample_that_is_trained_and_measured_on_is_refused_by_its_name_in_the_mix() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    draw(folder);
    let train = |more: &str| format!("{more}{}", both(folder, ["split: all", "only: child=01..07"], ["", ""]));
    let output = run(&file(folder, &train(""), &tests(folder), ""), &folder.join("out"), &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for line in [
        "2 samples are trained on and measured on:",
        "ONE/test/1_A and ONE/test/1_A: the same file (in `files` and `tests`)",
        "TWO/07_L and TWO/07_L: the same file",
        "exclude: [ONE/test/1_A, TWO/07_L]",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    // The line to paste mends it.
    let mended = file(folder, &train("exclude: [ONE/test/1_A, TWO/07_L], "), &tests(folder), "");
    complete(&mended, &folder.join("mended"), &[]);
}

#[test]
fn a_broken_sample_that_comes_again_and_again_is_skipped_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    draw(folder);
    fs::write(folder.join("two/Image_03L.png"), "no image").unwrap();
    let train = |more: &str| {
        let sources = both(folder, ["split: train", "only: child=01..06"], ["weight: 2, ", "weight: 7, "]);
        format!("order: by_weight, shuffle: true, epoch: 36, {more}{sources}")
    };
    let quarantine = ["--set", "on_error=quarantine", "--set", "trainer.num_epochs=1"];
    let out = folder.join("out");
    complete(&file(folder, &train(""), &tests(folder), ""), &out, &quarantine);
    // Of 28 of TWO in an epoch it is 4 or 5.
    let skipped = metrics(&out).into_iter().filter_map(|line| match line.event {
        Event::SampleSkipped(skipped) => Some(skipped.sample),
        _ => None,
    });
    assert_eq!(skipped.collect::<Vec<_>>(), ["TWO/03_L"]);
    let list = out.join("quarantine.txt");
    assert!(fs::read_to_string(&list).unwrap().lines().any(|line| line.starts_with("TWO/03_L\tdecode: ")));
    let file = file(folder, &train(&format!("exclude: '{}', ", list.display())), &tests(folder), "");
    complete(&file, &folder.join("excluded"), &["--set", "trainer.num_epochs=1"]);
}

/// Each image's Dice, by its id.
fn figures(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let [id, dice] =
        ["sample", "dice"].map(|name| header.iter().position(|column| column == name).unwrap_or_else(|| panic!("{header:?}")));
    lines.map(|line| (line[id].clone(), line[dice].clone())).collect()
}

#[test]
fn a_mix_is_measured_as_its_sources_are_each_with_its_own_field_of_view() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    draw(folder);
    // A field of view that only files know, and only of one source: the vessels.
    for number in ["07", "08"] {
        let mask = folder.join(format!("two/Image_{number}L_1stHO.png"));
        fs::copy(mask, folder.join(format!("two/Field_{number}L.png"))).unwrap();
    }
    let view = "field_of_view: 'Field_{child:[0-9]+}{eye:[LR]}.png', only: child=07..08";
    let alone = |id: &str, kind: &str, options: &str| {
        format!(
            "  - {{id: {id}_files, use: {kind}, with: {{{options}}}}}\n  - {{id: {id}_decode, use: decode}}\n  \
             - {{id: {id}_resize, use: resize, with: {{size: 32}}}}\n  - {{id: {id}_batch, use: batch}}\n  \
             - {{id: {id}, use: evaluate, needs: [optim, {id}_batch]}}\n"
        )
    };
    let root = |name: &str| format!("root: '{}/{name}'", folder.display());
    let more = alone("one", "fives", &format!("{}, split: test", root("one")))
        + &alone("two", "image_pairs", &format!("{}, {PATTERNS}, {view}", root("two")))
        + &alone("found", "image_pairs", &format!("{}, {PATTERNS}, only: child=07..08", root("two")));
    let train = both(folder, ["split: train", "only: child=01..06"], ["", ""]);
    let file = file(folder, &train, &both(folder, ["split: test", view], ["", ""]), &more);
    let out = folder.join("out");
    complete(&file, &out, &["--set", "trainer.num_epochs=1"]);
    let of = |name: &str| figures(&out.join(format!("figures{name}.csv")));
    let (mixed, one, two, found) = (of(""), of(".one"), of(".two"), of(".found"));
    let mut expected: BTreeMap<String, String> = one.into_iter().map(|(id, dice)| (format!("ONE/{id}"), dice)).collect();
    expected.extend(two.clone().into_iter().map(|(id, dice)| (format!("TWO/{id}"), dice)));
    assert_eq!(mixed, expected);
    assert!(mixed.len() == 3 && two != found, "the file of the field of view counts: {two:?} {found:?}");
    // The model is measured on the mix as the run did it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("eval").arg(out.join("last.safetensors")).arg(&file).args(["--of", "both", "--out"]).arg(folder.join("eval"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(figures(&folder.join("eval/figures.csv")), mixed);
}

/// What the reader says of a file that measures this mix.
fn problems(with: &str, sources: &str) -> String {
    let text = format!(
        "name: a\ntrainer: {{device: cpu, num_epochs: 1}}\nstages:\n  - id: files\n    use: mix\n    with:\n{with}      sources:\n{sources}  \
         - {{id: decode, use: decode}}\n  - {{id: resize, use: resize, with: {{size: 32}}}}\n  - {{id: batch, use: batch}}\n  \
         - {{id: eyes, use: synthetic_fundus, with: {{size: 32}}}}\n  - {{id: draw, use: decode}}\n  - {{id: drawn, use: batch}}\n  \
         - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}\n  - {{id: accum, use: accumulate}}\n  \
         - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.001}}}}}}\n  - {{id: evaluate, use: evaluate, needs: [optim, batch]}}\n"
    );
    let loaded = pipeline::spec::load_text("a.yml", text, &[], &pipeline::builtin());
    loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false) + "\n\n").collect()
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    let (one, two) = ("        A: {from: {fives: {root: a}}}\n", "        B: {from: {fives: {root: b}}}\n");
    assert_eq!(problems("", &[one, two].concat()), "");
    let by_weight = "      order: by_weight\n";
    for (with, sources, parts) in [
        ("", one.to_owned(), &["a.yml:8:9", "`A` is the only source", "`use: fives` instead of `mix`"][..]),
        (
            "",
            one.to_owned() + "        B: {from: {photographs: {files: x}}}\n",
            &["fives, image_pairs, synthetic_fundus, found `photographs`", "a.yml:9:20"],
        ),
        (
            "",
            one.to_owned() + "        B: {from: {fives: {root: b, shuffle: true}}}\n",
            &["`sources.B.from.fives` of `files` has no option `shuffle`", "root, split, part"],
        ),
        (
            "",
            one.to_owned() + "        B: {from: {fives: {split: test}}}\n",
            &["`sources.B.from.fives` of `files` needs `root`"],
        ),
        ("", one.to_owned() + "        B: {from: {fives: {root: b, part: train}}}\n", &["a.yml:9:43", "nothing is divided"]),
        (
            "",
            one.to_owned() + "        a/b: {from: {fives: {root: b}}}\n",
            &["a.yml:9:14", "`a/b` can't be the name of a source"],
        ),
        ("", one.to_owned() + "        B: {from: {fives: {root: a}}}\n", &["is in both sources, `A` and `B`", "a.yml:9:20"]),
        (
            "",
            one.to_owned() + "        B: {weight: 2, from: {fives: {root: b}}}\n",
            &["a.yml:9:21", "a weight does nothing without"],
        ),
        (
            by_weight,
            one.to_owned() + "        B: {weight: -1, from: {fives: {root: b}}}\n",
            &["a.yml:10:21", "a number from 0 to 1000000, found -1"],
        ),
        (
            by_weight,
            one.to_owned() + "        B: {weight: 0, from: {fives: {root: b}}}\n",
            &["a.yml:10:21", "no epoch has a sample of `B`"],
        ),
        (by_weight, [one, two].concat(), &["a.yml:7:14", "measured twice and others not at all, by `order` of `files`"]),
    ] {
        let said = problems(with, &sources);
        parts.iter().for_each(|part| assert!(said.contains(part), "{part} isn't in: {said}"));
        assert_eq!(said.matches("-->").count().max(said.matches("a.yml:").count().min(1)), 1, "one problem: {said}");
    }
}

/// FIVES and CHASE_DB1 themselves, shrunk, by the file that ships.
#[test]
fn the_real_sets_train_together() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.join("FIVES").is_dir() || !data.join("CHASE_DB1").is_dir() {
        eprintln!("no photographs at {}: skipped", data.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (fives, chase) = (data.join("FIVES").display().to_string(), data.join("CHASE_DB1").display().to_string());
    let set = [
        &format!("dataset.FIVES.data_root={fives}"),
        // Two frames of one eye stay together.
        "stages.files.with.exclude=[FIVES/train/22_A, FIVES/train/23_A]",
        "stages.val_files.with.exclude=[FIVES/train/22_A, FIVES/train/23_A]",
        &format!("dataset.CHASE_DB1.data_root={chase}"),
        "dataset.image_size=64",
        "dataset.num_workers=2",
        "trainer.device=cpu",
        "trainer.num_epochs=1",
        "trainer.mixed_precision='no'",
        "trainer.fit_may_change=[]",
        "stages.train.with.model={unet: {base: 4, depth: 3}}",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(["run", "pipelines/fives_and_chase.yml", "--out"]).arg(&out).current_dir(env!("CARGO_MANIFEST_DIR"));
    for set in &set {
        command.args(["--set", set]);
    }
    let output = command.env("PIPELINE_CACHE", folder.path().join("cache")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let tested = figures(&out.join("figures.evaluate.csv"));
    let of = |name: &str| tested.keys().filter(|id| id.starts_with(name)).count();
    assert_eq!((of("FIVES/test/"), of("CHASE_DB1/"), tested.len()), (3, 4, 7), "{tested:?}");
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["status"], "complete");
}
