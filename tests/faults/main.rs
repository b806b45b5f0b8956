//! Broken photographs, each really broken, through the command line: what is left out, what is said of it, and that the weights
//! are those of the whole ones whatever the workers. The rows of docs/faults.md.

// Permissions are those of Unix.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod doubts;
mod photographs;

#[path = "../support/model.rs"]
mod model;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::ImageEncoder as _;
use photographs::{Break, Photographs};
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pipeline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pipeline")).args(arguments).current_dir(root()).output().unwrap()
}

/// The program as an unprivileged user: root may read everything.
fn unprivileged(folder: &Path) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_pipeline"));
    if fs::metadata(folder).unwrap().uid() != 0 {
        return Command::new(program);
    }
    // Other users can't read the build's folder.
    let copy = folder.join("pipeline");
    if !copy.exists() {
        fs::copy(program, &copy).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new(copy);
    command.uid(65534).gid(65534);
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn events(out: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["event"] == name).collect()
}

/// A small training with a test at the end of each epoch.
struct Job<'a> {
    data: &'a Path,
    on_error: &'a str,
    workers: usize,
    epochs: usize,
    shuffle: bool,
    /// Further options of both sources, such as `, exclude: FILE`.
    source: String,
    resize: &'a str,
}

impl<'a> Job<'a> {
    fn new(data: &'a Path, on_error: &'a str) -> Self {
        let resize = "  - {id: resize, use: resize, with: {size: 32}}\n";
        Self { data, on_error, workers: 2, epochs: 2, shuffle: true, source: String::new(), resize }
    }

    fn write(&self, to: &Path) {
        let Self { data, on_error, workers, epochs, shuffle, source, resize } = self;
        let data = data.display();
        let test_resize = resize.replace("id: resize", "id: test_resize");
        let text = format!(
            "name: faults\nseed: 5\non_error: {on_error}\ntrainer: {{device: cpu, num_epochs: {epochs}}}\nstages:\n\
             \x20 - {{id: files, use: fives, with: {{root: {data}, split: train, shuffle: {shuffle}{source}}}}}\n\
             \x20 - {{id: decode, use: decode, workers: {workers}}}\n{resize}\
             \x20 - {{id: batch, use: batch, with: {{size: 2}}}}\n\
             \x20 - {{id: train, use: train_step, with: {{model: {{unet: {{base: 4, depth: 2}}}}}}}}\n\
             \x20 - {{id: accum, use: accumulate, with: {{steps: 2}}}}\n\
             \x20 - {{id: optim, use: optimizer_step, with: {{adamw: {{lr: 0.01}}}}}}\n\
             \x20 - {{id: test_files, use: fives, with: {{root: {data}, split: test{source}}}}}\n\
             \x20 - {{id: test_decode, use: decode, workers: {workers}}}\n{test_resize}\
             \x20 - {{id: test_batch, use: batch}}\n\
             \x20 - {{id: evaluate, use: evaluate, needs: [optim, test_batch]}}\n\
             \x20 - {{id: export, use: export, needs: optim}}\n"
        );
        fs::write(to, text).unwrap();
    }

    /// The command that runs it into `folder/name`.
    fn command(&self, mut program: Command, folder: &Path, name: &str) -> (Command, PathBuf) {
        let (file, out) = (folder.join(format!("{name}.yml")), folder.join(name));
        self.write(&file);
        program.args(["run", file.to_str().unwrap(), "--out", out.to_str().unwrap()]).current_dir(folder);
        (program, out)
    }

    fn run(&self, program: Command, folder: &Path, name: &str) -> (Output, PathBuf) {
        let (mut command, out) = self.command(program, folder, name);
        (command.output().unwrap(), out)
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pipeline"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Ten of twelve training pairs and one test pair broken, each in its own way: the weights are those of a folder that holds the
/// whole ones alone, whatever the workers, and each broken one is named once.
#[test]
fn every_way_to_be_broken_is_left_out_and_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::new(&data);
    let whole: Vec<&String> = photographs.train.iter().skip(Break::ALL.len()).collect();
    assert_eq!(whole.len(), 2);
    let broken: Vec<(String, Break)> = photographs.train.iter().cloned().zip(Break::ALL).collect();
    for (name, how) in &broken {
        photographs.breaks("train", name, *how);
    }
    photographs.breaks("test", &photographs.test[1], Break::CutOff);
    let mut weights = Vec::new();
    for workers in [0, 1, 4] {
        // A shuffle of more samples is another order, and below there are fewer.
        let job = Job { workers, shuffle: false, ..Job::new(&data, "{quarantine: {at_most: 11, share: 0.8}}") };
        let (output, out) = job.run(unprivileged(folder.path()), folder.path(), &format!("workers {workers}"));
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        weights.push(model::weights(&out, "last"));
        let skipped = events(&out, "sample_skipped");
        assert_eq!(skipped.len(), 11, "each once, in two epochs: {skipped:?}");
        for (name, how) in &broken {
            let of = |line: &&Value| line["sample"] == format!("train/{name}");
            let line = skipped.iter().find(of).unwrap_or_else(|| panic!("{name} is not in {skipped:?}"));
            assert!(line["error"].as_str().unwrap().contains(how.said()), "{how:?}: {line}");
            let listed = matches!(how, Break::WrongExtension | Break::MaskGone | Break::ImageGone);
            assert_eq!(
                (&line["stage"], &line["source"]),
                (&Value::from(if listed { "files" } else { "decode" }), &"files".into())
            );
            assert_eq!(line["epoch"], 1);
            assert_eq!(said.matches(&format!("sample train/{name} is skipped")).count(), 1, "{said}");
        }
        let summary = json(&out.join("summary.json"));
        assert_eq!(summary["skipped_samples"].as_array().unwrap().len(), 11, "{summary}");
        assert!(said.contains("11 samples were skipped:") && said.contains("and 1 more"), "{said}");
        assert_eq!(summary["samples"], 4, "two in each epoch");
        let tests = photographs.test.len() as u64 - 1;
        assert_eq!(events(&out, "eval").last().unwrap()["images"], tests, "the figures are of those that were measured");
    }
    assert_eq!(weights[0], weights[1]);
    assert_eq!(weights[0], weights[2]);
    // A later run leaves them out before it begins, and fails of nothing.
    let source = format!(", exclude: {}", folder.path().join("workers 4/quarantine.txt").display());
    let job = Job { source, shuffle: false, ..Job::new(&data, "fail") };
    let (output, out) = job.run(program(), folder.path(), "excluded");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(model::weights(&out, "last"), weights[0]);
    assert_eq!(json(&out.join("summary.json"))["skipped_samples"].as_array().unwrap().len(), 0);
    assert!(!out.join("quarantine.txt").exists());
}

#[test]
fn by_default_the_first_broken_sample_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::drawn(&data, 6, 64);
    photographs.breaks("train", "2_D", Break::Empty);
    let (output, out) = Job::new(&data, "fail").run(program(), folder.path(), "run");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("stage `decode`, sample train/2_D") && text.contains("empty (0 bytes)"), "{text}");
    let summary = json(&out.join("summary.json"));
    assert_eq!((&summary["status"], summary["skipped_samples"].as_array().unwrap().len()), (&"failed".into(), 0));
}

#[test]
fn more_than_the_cap_ends_the_run_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::drawn(&data, 10, 64);
    for name in ["1_A", "3_G", "5_A"] {
        photographs.breaks("train", name, Break::CutOff);
    }
    for (on_error, words) in
        [("{skip: {at_most: 2, share: 1}}", "at_most is 2"), ("{skip: {share: 0.25}}", "3 of the 8 samples")]
    {
        let (output, out) = Job::new(&data, on_error).run(program(), folder.path(), &words[..1]);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(words) && text.contains("can't be decoded") && text.contains("raise at_most"), "{text}");
        assert!(text.contains("2 samples were skipped:"), "what was left out before is listed: {text}");
        assert_eq!(json(&out.join("summary.json"))["skipped_samples"].as_array().unwrap().len(), 2);
    }
    let wide = Job::new(&data, "{skip: {share: 0.3}}").run(program(), folder.path(), "wide");
    assert!(wide.0.status.success(), "30% of 8 are 2.4, so three: {}", said(&wide.0));
}

#[test]
fn a_run_without_a_sample_left_is_an_error_not_an_empty_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::drawn(&data, 4, 64);
    for (at, name) in photographs.train.iter().enumerate() {
        photographs.breaks("train", name, if at == 0 { Break::MaskGone } else { Break::Black });
    }
    let (output, _) = Job::new(&data, "{skip: {share: 1}}").run(program(), folder.path(), "run");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("no sample is left of epoch 1") && text.contains("is black"), "{text}");
}

/// Without a `resize` a batch needs pairs of one size.
#[test]
fn a_pair_of_another_size_is_left_out_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::drawn(&data, 9, 64);
    let odd = folder.path().join("odd");
    let others = Photographs::drawn(&odd, 2, 48);
    for mask in [false, true] {
        fs::copy(others.file("train", mask, &others.train[0]), photographs.file("train", mask, "3_G")).unwrap();
    }
    let weights = ["0", "3"].map(|workers| {
        let job = Job { resize: "", workers: workers.parse().unwrap(), ..Job::new(&data, "skip") };
        let (output, out) = job.run(program(), folder.path(), workers);
        assert!(output.status.success(), "{}", said(&output));
        let skipped = events(&out, "sample_skipped");
        assert_eq!((skipped.len(), &skipped[0]["sample"], &skipped[0]["stage"]), (1, &"train/3_G".into(), &"batch".into()));
        let steps = events(&out, "step");
        // Seven of eight in each epoch: batches of two in windows of two.
        assert_eq!(steps.iter().map(|step| step["samples"].as_u64().unwrap()).collect::<Vec<_>>(), [4, 7, 11, 14]);
        model::weights(&out, "last")
    });
    assert_eq!(weights[0], weights[1]);
}

/// A file that is there when the run begins, and is gone later.
#[test]
fn a_file_that_vanishes_while_the_run_goes_on_is_left_out_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::drawn(&data, 10, 64);
    let job = Job { epochs: 60, ..Job::new(&data, "skip") };
    let (mut command, out) = job.command(program(), folder.path(), "run");
    let mut child = command.arg("--quiet").spawn().unwrap();
    let epochs =
        |out: &Path| fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default().matches("\"event\":\"epoch\"").count();
    while epochs(&out) < 2 {
        assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fs::remove_file(photographs.file("train", true, "4_N")).unwrap();
    assert!(child.wait().unwrap().success());
    let skipped = events(&out, "sample_skipped");
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    assert_eq!(skipped[0]["sample"], "train/4_N");
    assert!(skipped[0]["error"].as_str().unwrap().contains("can't be read"), "{skipped:?}");
    assert!(skipped[0]["epoch"].as_u64().unwrap() >= 3, "{skipped:?}");
    assert!(json(&out.join("summary.json"))["samples"].as_u64().unwrap() < 60 * 8);
}

/// What a header claims is refused before memory is taken for it.
#[test]
fn bombs_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    let photographs = Photographs::drawn(&data, 8, 64);
    photographs.breaks("train", "1_A", Break::Bomb);
    let zeros = photographs.file("train", false, "2_D");
    image::GrayImage::new(12000, 12000).save(&zeros).unwrap();
    assert!(fs::metadata(&zeros).unwrap().len() < 1_000_000, "144 MB unpacked");
    // A photograph of 64 x 64 pixels whose colour profile unpacks to 300 MB: its pixels are sound.
    let profile = photographs.file("train", false, "3_G");
    let pixels = image::open(&profile).unwrap().into_rgb8();
    let mut encoder = image::codecs::png::PngEncoder::new(fs::File::create(&profile).unwrap());
    encoder.set_icc_profile(vec![0; 300 << 20]).unwrap();
    encoder.write_image(&pixels, pixels.width(), pixels.height(), image::ExtendedColorType::Rgb8).unwrap();
    assert!(fs::metadata(&profile).unwrap().len() < 1_000_000);
    let job = Job { workers: 1, ..Job::new(&data, "{skip: {share: 0.5}}") };
    let (output, out) = job.run(program(), folder.path(), "run");
    assert!(output.status.success(), "{}", said(&output));
    let skipped = events(&out, "sample_skipped");
    assert_eq!(skipped.len(), 2, "{skipped:?}");
    assert!(skipped.iter().all(|line| line["error"].as_str().unwrap().contains("more than 100000000")), "{skipped:?}");
    let host = json(&out.join("summary.json"))["memory"]["host_allocated_peak"].as_u64().unwrap();
    // What a decoder may take beside the pixels is 64 MiB, and a vector that grows to it has had half of it before.
    assert!(host < 104 << 20, "{host} bytes");
}
