//! Samples that are trained and measured on: found by what they show before a run, refused by name, and left out by the line that the
//! refusal prints.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::GrayImage;
use pipeline::contract::Event;
use pipeline::contract::events::Line;
use serde_json::Value;

/// A folder with ten drawn pairs to train on and two to measure on, and a file that does so.
struct Drawn {
    folder: tempfile::TempDir,
}

impl Drawn {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sample =
            ["sample", folder.path().join("data").to_str().unwrap(), "--pairs", "12", "--size", "64"].map(str::to_owned);
        let drawn = Self { folder };
        let output = drawn.command(&sample).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        drawn.write("{split: train}", "{split: test}", "");
        drawn
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the file: what the two sources say beside `root`, and more keys of `trainer`.
    fn write(&self, train: &str, test: &str, trainer: &str) {
        let with = |options: &str| format!("{{root: '{}', {}", self.path("data").display(), options.strip_prefix('{').unwrap());
        let text = format!(
            "name: leaks\ntrainer: {{device: cpu, num_epochs: 1, {trainer}}}\nstages:\n  \
             - {{id: files, use: fives, with: {}}}\n  - {{id: decode, use: decode}}\n  - {{id: batch, use: batch}}\n  \
             - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}\n  \
             - {{id: accum, use: accumulate}}\n  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.001}}}}}}\n  \
             - {{id: test_files, use: fives, with: {}}}\n  - {{id: test_decode, use: decode}}\n  - {{id: test_batch, use: batch}}\n  \
             - {{id: evaluate, use: evaluate, needs: [optim, test_batch], with: {{pictures: 0}}}}\n",
            with(train),
            with(test)
        );
        fs::write(self.path("leaks.yml"), text).unwrap();
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.args(arguments).env("PIPELINE_CACHE", self.path("cache"));
        command
    }

    fn run(&self, out: &str, more: &[&str]) -> Output {
        let (file, out) = (self.path("leaks.yml").display().to_string(), self.path(out).display().to_string());
        let mut arguments = vec!["run".to_owned(), file, "--out".into(), out];
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        self.command(&arguments).output().unwrap()
    }

    /// Runs, is refused, and leaves no folder behind. What it said.
    fn refused(&self) -> String {
        let output = self.run("refused", &[]);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(!self.path("refused").exists(), "the same command runs once the file is mended");
        said(&output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The line to paste.
fn exclude(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("exclude: [")).unwrap_or_else(|| panic!("{said}"));
    line[line.find("exclude").unwrap()..].to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// One leak of each sort, all in one refusal; what it prints to paste mends the file.
#[test]
fn each_sort_of_leak_is_refused_by_name_and_what_is_printed_mends_it() {
    let drawn = Drawn::new();
    let (train, test) = (drawn.path("data/train"), drawn.path("data/test"));
    let (photos, masks) = (|folder: &Path| folder.join("Original"), |folder: &Path| folder.join("Ground truth"));
    let clean = drawn.run("clean", &[]);
    assert!(clean.status.success(), "{}", said(&clean));
    assert!(said(&clean).contains("compared 10 samples to train on with 2 to measure on, 24 files"), "{}", said(&clean));
    // The same pixels in another format, with a mask of its own.
    image::open(photos(&test).join("1_A.png")).unwrap().to_rgba8().save(photos(&train).join("3_G.tiff")).unwrap();
    fs::remove_file(photos(&train).join("3_G.png")).unwrap();
    // The same mask as 0 and 1.
    let mut mask = image::open(masks(&test).join("2_D.png")).unwrap().to_luma8();
    mask.pixels_mut().for_each(|pixel| pixel.0[0] /= 255);
    mask.save(masks(&train).join("6_D.png")).unwrap();
    // The same file, by a link.
    fs::remove_file(photos(&train).join("9_A.png")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(photos(&test).join("2_D.png"), photos(&train).join("9_A.png")).unwrap();
    #[cfg(not(unix))]
    copy(&photos(&test).join("2_D.png"), &photos(&train).join("9_A.png"));
    // No vessels on both sides is no leak, and neither is the same photograph twice on one side.
    for path in [masks(&train).join("1_A.png"), masks(&test).join("1_A.png")] {
        GrayImage::new(64, 64).save(path).unwrap();
    }
    copy(&photos(&train).join("4_N.png"), &photos(&train).join("5_A.png"));
    let refused = drawn.refused();
    for line in [
        "3 samples are trained on and measured on:",
        "train/3_G and test/1_A: the same photograph (in `files` and `test_files`)",
        "train/6_D and test/2_D: the same mask",
        if cfg!(unix) { "train/9_A and test/2_D: the same file" } else { "train/9_A and test/2_D: the same photograph" },
        "leaks: warn",
    ] {
        assert!(refused.contains(line), "{line}: {refused}");
    }
    assert_eq!(exclude(&refused), "exclude: [train/3_G, train/6_D, train/9_A]");
    // With a list that is there already, and at a resume too.
    drawn.write("{split: train, exclude: [train/6_D, 4_N]}", "{split: test}", "");
    assert_eq!(exclude(&drawn.refused()), "exclude: [train/6_D, 4_N, train/3_G, train/9_A]");
    let resumed = drawn.run("clean", &["--resume", "--allow-changed"]);
    assert_eq!(
        (resumed.status.code(), said(&resumed).contains("train/3_G and test/1_A")),
        (Some(3), true),
        "{}",
        said(&resumed)
    );
    drawn.write(&format!("{{split: train, {}}}", exclude(&refused)), "{split: test}", "");
    let mended = drawn.run("mended", &[]);
    assert!(mended.status.success(), "{}", said(&mended));
    let summary: Value = serde_json::from_slice(&fs::read(drawn.path("mended/summary.json")).unwrap()).unwrap();
    assert_eq!((summary["samples"].as_u64(), summary.get("leaks")), (Some(7), None));
}

#[test]
fn a_warning_is_said_once_and_stays_in_the_figures() {
    let drawn = Drawn::new();
    copy(&drawn.path("data/test/Original/1_A.png"), &drawn.path("data/train/Original/7_G.png"));
    drawn.write("{split: train}", "{split: test}", "leaks: warn");
    let output = drawn.run("run", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output).matches("train/7_G and test/1_A: the same photograph").count(), 1, "{}", said(&output));
    let summary: Value = serde_json::from_slice(&fs::read(drawn.path("run/summary.json")).unwrap()).unwrap();
    assert_eq!((&summary["leaks"][0]["sample"], &summary["leaks"][0]["same"]), (&"train/7_G".into(), &"photograph".into()));
    let lines = fs::read_to_string(drawn.path("run/metrics.jsonl")).unwrap();
    let events = lines.lines().filter_map(|line| match serde_json::from_str::<Line>(line).unwrap().event {
        Event::Leaks(event) => Some(event.leaks),
        _ => None,
    });
    let leaks: Vec<_> = events.collect();
    assert_eq!((leaks.len(), leaks[0].len(), leaks[0][0].other_sample.as_str()), (1, 1, "test/1_A"));
}

#[test]
fn the_same_set_on_both_sides_is_told_as_that_and_a_division_has_none() {
    let drawn = Drawn::new();
    drawn.write("{split: train}", "{split: all}", "");
    let refused = drawn.refused();
    assert!(refused.contains("10 samples are trained on and measured on:"), "{refused}");
    assert!(refused.contains("everything that `files` trains on") && !refused.contains("exclude: ["), "{refused}");
    let split = "split: {folds: 3, fold: 1, validation: 0.2, from: all, seed: 3}";
    drawn.write(&format!("{{{split}, part: train}}"), &format!("{{{split}, part: test}}"), "");
    let output = drawn.run("run", &[]);
    assert!(output.status.success(), "{}", said(&output));
    // Another fold in one of the two is a leak.
    let other = split.replace("fold: 1", "fold: 2");
    drawn.write(&format!("{{{split}, part: train}}"), &format!("{{{other}, part: test}}"), "");
    assert!(drawn.refused().contains("the same file"));
    // A broken photograph is not what is looked for here.
    fs::write(drawn.path("data/train/Original/2_D.png"), "no image").unwrap();
    drawn.write("{split: train}", "{split: test}", "");
    let output = drawn.run("broken", &[]);
    assert!(said(&output).contains("the run failed") && said(&output).contains("2_D.png"), "{}", said(&output));
}

/// The real photographs, where there are any. All of FIVES that there is and CHASE_DB1 by child have no leak; two frames of one eye
/// have one mask.
#[test]
fn real_photographs_have_the_leaks_that_they_are_known_for() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.join("FIVES").is_dir() || !data.join("CHASE_DB1").is_dir() {
        return eprintln!("no photographs at {}: drawn ones only", data.display());
    }
    let registry = pipeline::builtin();
    let leaks = |sources: [String; 2]| {
        let [train, test] = sources;
        let text = format!(
            "trainer: {{device: cpu, num_epochs: 1}}\nstages:\n  - {{id: files, {train}}}\n  - {{id: decode, use: decode}}\n  \
             - {{id: resize, use: resize, with: {{size: 64}}}}\n  - {{id: batch, use: batch}}\n  - {{id: train, use: train_step}}\n  \
             - {{id: accum, use: accumulate}}\n  - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.001}}}}}}\n  \
             - {{id: test_files, {test}}}\n  - {{id: test_decode, use: decode}}\n  - {{id: test_resize, use: resize, with: {{size: 64}}}}\n  \
             - {{id: test_batch, use: batch}}\n  - {{id: evaluate, use: evaluate, needs: [optim, test_batch]}}\n"
        );
        let loaded = pipeline::spec::load_text("real.yml", text, &[], &registry);
        let pipeline = loaded.pipeline.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        pipeline::run::leaks(&pipeline).map_err(|error| format!("{error}\n{}", error.mend().unwrap_or_default()))
    };
    let fives = |options: &str| format!("use: fives, with: {{root: '{}', {options}}}", data.join("FIVES").display());
    assert_eq!(leaks([fives("split: train"), fives("split: test")]), Ok(Vec::new()));
    // 22_A and 23_A are two frames of one eye; one of them on the other side is a leak by its mask alone.
    let all: Vec<String> = ["22_A", "23_A"].iter().map(|name| format!("train/{name}")).collect();
    let there = |name: &String| data.join("FIVES").join(name.replace("train/", "train/Original/") + ".png").exists();
    if all.iter().all(there) {
        let train = fives("split: train, exclude: [22_A]");
        let others: Vec<String> = fs::read_dir(data.join("FIVES/train/Original"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|stem| stem != "22_A")
            .collect();
        let refused = leaks([train, fives(&format!("split: train, exclude: [{}]", others.join(", ")))]).unwrap_err();
        assert!(refused.contains("train/23_A and train/22_A: the same mask"), "{refused}");
        assert!(refused.contains("exclude: [22_A, train/23_A]"), "{refused}");
    }
    let chase = |fold: usize, part: &str, group: &str| {
        let pattern = "Image_{child:[0-9]+}{eye:[LR]}";
        format!(
            "use: image_pairs, with: {{root: '{}', image: '{pattern}.jpg', mask: '{pattern}_1stHO.png', \
             split: {{group: '{group}', folds: 5, fold: {fold}, seed: 7}}, part: {part}}}",
            data.join("CHASE_DB1").display()
        )
    };
    for fold in 0..5 {
        assert_eq!(leaks([chase(fold, "train", "{child}"), chase(fold, "test", "{child}")]), Ok(Vec::new()));
    }
}
