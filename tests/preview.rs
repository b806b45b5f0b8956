//! `pipeline preview`: what is on the sheet, and what it says when it can't be drawn.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::RgbImage;

fn preview(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.arg("preview").args(arguments).env_remove("PIPELINE_LOG").current_dir(env!("CARGO_MANIFEST_DIR"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the command says on standard output, if it ends with 0, and on standard error otherwise.
fn said(arguments: &[&str], code: i32) -> String {
    let output = preview(arguments);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{err}");
    if code == 0 { out } else { err }
}

/// Draws a sheet of the quickstart with small images, and reads it.
fn sheet(folder: &Path, name: &str, more: &[&str]) -> RgbImage {
    let path = folder.join(name).display().to_string();
    let small = ["pipelines/quickstart.yml", "--set", "dataset.drawn.image_size=48", "--out", &path];
    said(&[&small[..], more].concat(), 0);
    image::open(path).unwrap().into_rgb8()
}

/// The part of a sheet of 48 x 48 images that shows a row's cell: its image, 48 x 48.
fn cell(sheet: &RgbImage, row: u32, column: u32) -> RgbImage {
    let (left, top) = (8 + column * (2 * 48 + 2 + 8), 24 + row * (48 + 4 + 16 + 4));
    image::imageops::crop_imm(sheet, left, top, 48, 48).to_image()
}

#[test]
fn a_row_is_a_sample_and_a_column_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let all = sheet(folder.path(), "all.png", &["--samples", "3", "--epochs", "2"]);
    assert_eq!(all.dimensions(), (8 + 3 * 106, 24 + 3 * 72));
    for row in 0..3 {
        assert_ne!(cell(&all, row, 0), cell(&all, row, 1), "sample {row} is augmented");
        assert_ne!(cell(&all, row, 1), cell(&all, row, 2), "sample {row} is another one in each epoch");
    }
    assert_ne!(cell(&all, 0, 0), cell(&all, 1, 0));
    // The same sheet again, and its second epoch by itself: the order of the samples is another one there.
    assert_eq!(all, sheet(folder.path(), "again.png", &["--samples", "3", "--epochs", "2"]));
    let ordered = ["--samples", "3", "--set", "stages.eyes.with.shuffle=false"];
    let two = sheet(folder.path(), "two.png", &[&ordered[..], &["--epochs", "2"]].concat());
    let second = sheet(folder.path(), "second.png", &[&ordered[..], &["--epoch", "2", "--epochs", "1"]].concat());
    for row in 0..3 {
        assert_eq!(cell(&two, row, 2), cell(&second, row, 1));
        assert_eq!(cell(&two, row, 0), cell(&second, row, 0));
    }
}

/// The sheet that the stage `preview` draws in a run is of the same pixels.
#[test]
fn it_is_what_a_run_makes_of_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sheet.yml");
    let stages = "trainer: {num_epochs: 1}\nseed: 7\nstages:\n  - {id: eyes, use: synthetic_fundus, with: {pairs: 3, size: 48, shuffle: true}}\n  \
                  - {id: decode, use: decode, workers: 2}\n  \
                  - {id: augment, use: augment, with: {rotate: 90, noise: 0.1, elastic: {alpha: 50, sigma: 4}, jpeg: {share: 0.5}}}\n  \
                  - {id: sheet, use: preview, with: {pairs: 3, columns: 1}}\n";
    fs::write(&file, stages).unwrap();
    let (file, out) = (file.display().to_string(), folder.path().join("run").display().to_string());
    let run = Command::new(env!("CARGO_BIN_EXE_pipeline")).args(["run", &file, "--out", &out]).output().unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    let during = image::open(Path::new(&out).join("preview.png")).unwrap().into_rgb8();
    let path = folder.path().join("before.png").display().to_string();
    let answer = said(&[&file, "--samples", "3", "--epochs", "1", "--out", &path], 0);
    assert_eq!(answer, format!("{path}: 3 samples of `augment`, epoch 1\n"));
    let before = image::open(path).unwrap().into_rgb8();
    for row in 0..3 {
        let shown = image::imageops::crop_imm(&during, 0, row * (48 + 2), 48, 48).to_image();
        assert_eq!(cell(&before, row, 1), shown, "sample {row}");
    }
}

#[test]
fn other_stages_can_be_shown_and_pieces_are_rows() {
    let folder = tempfile::tempdir().unwrap();
    let decoded = sheet(folder.path(), "decoded.png", &["--stage", "decode", "--samples", "1", "--epochs", "2"]);
    assert_eq!(cell(&decoded, 0, 0), cell(&decoded, 0, 1), "nothing is random about decoding");
    assert_eq!(decoded.width(), 8 + 2 * 106, "what is decoded is shown once an epoch, and not before");
    let file = folder.path().join("pieces.yml");
    let stages = "stages:\n  - {id: eyes, use: synthetic_fundus, with: {pairs: 2, size: 96, classes: true}}\n  \
                  - {id: decode, use: decode, with: {labels: {artery: [255, 0, 0], vein: [0, 0, 255]}}}\n  \
                  - {id: crop, use: crop, with: {size: 48, per_image: 3}}\n  - {id: normalize, use: normalize}\n  \
                  - {id: sheet, use: preview}\ntrainer: {num_epochs: 1}\n";
    fs::write(&file, stages).unwrap();
    let file = file.display().to_string();
    let answer = said(&[&file, "--out", &folder.path().display().to_string(), "--samples", "5"], 0);
    assert!(answer.ends_with("preview.png: 5 samples of `normalize`, epochs 1 to 3\n"), "{answer}");
    let pieces = image::open(folder.path().join("preview.png")).unwrap().into_rgb8();
    // Below the rows is the classes' legend.
    let vein = pipeline_images::class_colour(2);
    assert!(pieces.rows().rev().take(12).flatten().any(|pixel| pixel.0 == vein), "{:?}", pieces.dimensions());
}

#[test]
fn a_cache_is_passed_over_and_left_empty() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let drawn = |cache: &str, name: &str| {
        let file = folder.path().join("cached.yml");
        let stages = format!(
            "trainer: {{num_epochs: 1}}\nstages:\n  - {{id: eyes, use: synthetic_fundus, with: {{pairs: 2, size: 48}}}}\n  - {{id: decode, use: decode}}\n{cache}  \
             - {{id: augment, use: augment, with: {{rotate: 90}}}}\n  - {{id: sheet, use: preview}}\n"
        );
        fs::write(&file, stages).unwrap();
        let path = folder.path().join(name).display().to_string();
        said(&[&file.display().to_string(), "--out", &path], 0);
        fs::read(path).unwrap()
    };
    let cache = format!("  - {{id: cache, use: cache, with: {{folder: \"{}\"}}}}\n", kept.display());
    assert_eq!(drawn(&cache, "with.png"), drawn("", "without.png"));
    assert!(!kept.exists());
}

#[test]
fn what_can_not_be_shown_is_said_with_what_can() {
    let good = "pipelines/quickstart.yml";
    for (arguments, code, words) in [
        (&[good, "--stage", "agument"][..], 2, &["there is no stage `agument`", "decode", "augment"][..]),
        (&[good, "--stage", "accum"], 2, &["stage `accum` makes", "these can be shown", "decode", "augment"]),
        (&[good, "--stage", "batch"], 2, &["stage `batch` makes batch, not image pairs"]),
        (&[good, "--samples", "0"], 2, &["--samples"]),
        (&[good, "--epochs", "17"], 2, &["--epochs"]),
        (&["no/such/file.yml"], 1, &["no/such/file.yml"]),
        (&[good, "--set", "stages.augment.with.blur={sigma: [3, 1]}"], 1, &["`blur.sigma` goes from 3 to 1"]),
        (&[good, "--out", "Cargo.toml/below.png"], 3, &["can't write Cargo.toml/below.png"]),
    ] {
        let complaint = said(arguments, code);
        assert!(words.iter().all(|word| complaint.contains(word)), "{arguments:?}: {complaint}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nothing.yml");
    fs::write(&file, "trainer: {num_epochs: 1}\nstages:\n  - {id: shots, use: photographs, with: {inputs: nowhere}}\n")
        .unwrap();
    let complaint = text(&preview(&[&file.display().to_string()]).stderr);
    assert!(!complaint.is_empty());
}

#[test]
fn broken_samples_end_it_or_are_left_out_as_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("drawn");
    let drawn = Command::new(env!("CARGO_BIN_EXE_pipeline"))
        .arg("sample")
        .arg(&root)
        .args(["--pairs", "5", "--size", "48"])
        .output()
        .unwrap();
    assert!(drawn.status.success());
    let first = fs::read_dir(root.join("train/Original")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..whole.len() / 2]).unwrap();
    let file = |top: &str| {
        let path = folder.path().join("files.yml");
        let root = root.display();
        let stages = format!(
            "{top}trainer: {{num_epochs: 1}}\nstages:\n  - {{id: files, use: fives, with: {{root: \"{root}\", split: train}}}}\n  \
             - {{id: decode, use: decode}}\n  - {{id: sheet, use: preview}}\n"
        );
        fs::write(&path, stages).unwrap();
        path.display().to_string()
    };
    let out = folder.path().join("sheet.png").display().to_string();
    let complaint = said(&[&file(""), "--out", &out], 3);
    assert!(complaint.contains("stage `decode`, sample") && !Path::new(&out).exists(), "{complaint}");
    let output = preview(&[&file("on_error: {skip: {share: 1}}\n"), "--out", &out]);
    assert!(output.status.success() && text(&output.stderr).contains("left out: stage `decode`"), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("3 samples"), "{}", text(&output.stdout));
}

/// Photographs of 999 x 960 and 2048 x 2048 pixels, as they are.
#[test]
fn real_photographs_fit_on_a_sheet() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/CHASE_DB1");
    if !data.is_dir() {
        eprintln!("no photographs at {}", data.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png").display().to_string();
    let root = format!("dataset.CHASE_DB1.data_root={}", data.display());
    said(&["pipelines/chase_db1.yml", "--set", &root, "--samples", "2", "--epochs", "2", "--out", &path], 0);
    let (width, height) = image::image_dimensions(path).unwrap();
    // Within squares of 320: 310 x 320 in the first column, where the photograph wasn't resized yet, then 320 x 310.
    assert!(width > 6 * 300 && width <= 4096 && height > 2 * 320 && height <= 800, "{width} x {height}");
}
