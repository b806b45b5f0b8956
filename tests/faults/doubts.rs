//! Data that can be used and may be wrong: it is counted and named, and is an error where the file is strict.

use std::process::Command;

use image::{GrayImage, Luma};
use serde_json::{Value, json};

use super::photographs::Photographs;
use super::{Job, events, json as read, program, said};

/// Without a validation part that choice is a warning unless it is made.
const BEST: [&str; 2] = ["--set", "trainer.checkpoint.best={metric: dice, of: evaluate}"];

/// Eight photographs, of which two have inverted masks and one a mask of three greys.
fn doubtful(data: &std::path::Path) -> Photographs {
    let photographs = Photographs::drawn(data, 10, 64);
    let change = |name: &str, by: &dyn Fn(u32, u8) -> u8| {
        let path = photographs.file("train", true, name);
        let mask = image::open(&path).unwrap().into_luma8();
        GrayImage::from_fn(64, 64, |x, y| Luma([by(x, mask.get_pixel(x, y).0[0])])).save(&path).unwrap();
    };
    change("1_A", &|_, value| 255 - value);
    change("2_D", &|_, value| 255 - value);
    change("3_G", &|x, value| if x < 3 { 1 } else { value });
    photographs
}

#[test]
fn doubtful_files_are_counted_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    doubtful(&data);
    for workers in [0, 3] {
        let job = Job { workers, ..Job::new(&data, "fail") };
        let (output, out) = job.run(program(), folder.path(), &workers.to_string());
        assert!(output.status.success(), "{}", said(&output));
        let warnings = read(&out.join("summary.json"))["warnings"].clone();
        let told: Vec<[Value; 3]> = warnings
            .as_array()
            .unwrap()
            .iter()
            .map(|warning| ["stage", "kind", "count"].map(|name| warning[name].clone()))
            .collect();
        let decode = json!("decode");
        let expected = [[decode.clone(), json!("mask_share"), json!(2)], [decode, json!("mask_values"), json!(1)]];
        assert_eq!(told, expected);
        let examples = warnings[0]["examples"].as_array().unwrap();
        assert!(examples.len() == 2 && examples[0].as_str().unwrap().ends_with("1_A.png"), "{examples:?}");
        assert_eq!(events(&out, "warning").len(), 3, "a line for each file, in the first of two epochs");
        let said = said(&output);
        assert_eq!(said.matches("is vessel, and vessels are").count(), 1, "{said}");
        assert!(said.contains("decode: 2 warnings of the kind mask_share, such as "), "{said}");
    }
}

#[test]
fn a_run_that_resumes_counts_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    doubtful(&data);
    let job = Job { workers: 0, ..Job::new(&data, "fail") };
    let (mut command, out) = job.command(program(), folder.path(), "run");
    let checkpoint = ["--set", "trainer.checkpoint.every_steps=1"];
    assert!(command.args(checkpoint).status().unwrap().success());
    let warnings = read(&out.join("summary.json"))["warnings"].clone();
    let (mut again, _) = job.command(program(), folder.path(), "run");
    let output = again.args(checkpoint).args(["--resume", "--set", "trainer.num_epochs=3"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(read(&out.join("summary.json"))["warnings"], warnings);
    assert_eq!(events(&out, "warning").len(), 3);
}

#[test]
fn strict_files_take_nothing_doubtful() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    doubtful(&data);
    let fails = |name: &str, set: &[&str]| {
        let (mut command, _) = Job::new(&data, "fail").command(program(), folder.path(), name);
        let output = command.args(BEST).args(set).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains("`strict` makes this warning an error"), "{}", said(&output));
    };
    fails("key", &["--set", "strict=true"]);
    fails("flag", &["--deny-warnings"]);
    // Skipped as broken ones are, where the file allows that.
    let (mut command, out) = Job::new(&data, "{skip: {share: 0.5}}").command(program(), folder.path(), "skip");
    let output = command.args(BEST).arg("--deny-warnings").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut skipped: Vec<String> =
        events(&out, "sample_skipped").iter().map(|line| line["sample"].as_str().unwrap().to_owned()).collect();
    skipped.sort();
    assert_eq!(skipped, ["train/1_A", "train/2_D", "train/3_G"]);
    assert_eq!(read(&out.join("summary.json")).get("warnings"), None);
}

/// A file that warns, though its data is sound.
#[test]
fn strict_files_take_no_warning_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("FIVES");
    Photographs::drawn(&data, 4, 64);
    let job = Job::new(&data, "fail");
    let file = folder.path().join("warns.yml");
    job.write(&file);
    let validate = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_pipeline")).arg("validate").arg(&file).args(more).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = validate(&[]);
    assert!(code == Some(0) && text.contains("warning: the best checkpoint is chosen on the test part"), "{text}");
    let (code, text) = validate(&["--deny-warnings"]);
    assert!(code == Some(1) && text.contains("error: the best checkpoint is chosen on the test part"), "{text}");
    assert!(text.contains("(a warning, which `strict` makes an error)"), "{text}");
    let code = |command: &str| {
        Command::new(env!("CARGO_BIN_EXE_pipeline"))
            .args([command, "--deny-warnings"])
            .arg(&file)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(["plan", "dot", "run"].map(code), [Some(1); 3]);
}
