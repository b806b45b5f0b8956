//! Trained models at work, through the command line: predictions, evaluations, and what a model's file says of itself.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::GenericImageView as _;
use serde_json::Value;
use support::{Small, metrics, said, signal};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A run of a small pipeline, which must be a good one.
fn trained(small: &Small, out: &Path, set: &[&str]) -> PathBuf {
    let output = small.run(out, set, &[]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    out.join("model.safetensors")
}

/// Drawn photographs of FIVES' layout in `folder/data`, and a model that was trained on them at 64 x 64.
fn fives(folder: &Path) -> (Small, PathBuf) {
    let small = support::files(&folder.join("data"));
    let model = trained(&small, &folder.join("run"), &["trainer.num_epochs=2"]);
    (small, model)
}

fn predict(model: &Path, inputs: &[&str], out: &Path, more: &[&str]) -> Output {
    program(&["predict", text(model)]).args(inputs).args(["--out", text(out)]).args(more).output().unwrap()
}

/// All files of a folder and the folders in it, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for part in ["masks", "probabilities", "overlays"] {
        let Ok(entries) = fs::read_dir(folder.join(part)) else { continue };
        // What a killed program was writing isn't a picture.
        for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "png")) {
            let name = format!("{part}/{}", entry.file_name().to_string_lossy());
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

fn card(model: &Path) -> Value {
    let bytes = fs::read(model).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().clone().unwrap()["model"]).unwrap()
}

/// Photographs of several sizes, drawn.
fn photographs(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (number, size) in [90, 84, 101, 96].into_iter().enumerate() {
        let drawn = pipeline_images::draw(size, number as u64);
        let picture = image::RgbImage::from_raw(size as u32, size as u32, drawn.image).unwrap();
        let wide = image::imageops::crop_imm(&picture, 0, 0, size as u32, size as u32 - 7).to_image();
        wide.save(folder.join(format!("{number}.png"))).unwrap();
    }
}

#[test]
fn masks_probabilities_and_overlays_have_the_photographs_size_and_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = fives(folder.path());
    let (input, out) = (folder.path().join("photos"), folder.path().join("out"));
    photographs(&input);
    let output = predict(&model, &[text(&input)], &out, &["--threshold", "0.4", "--workers", "2"]);
    assert!(output.status.success(), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("4 photographs predicted") && said.contains("device: ") && said.contains("host: at most"), "{said}");
    for number in 0..4 {
        let read = |part: &str| image::open(out.join(part).join(format!("{number}.png"))).unwrap();
        let size = image::image_dimensions(input.join(format!("{number}.png"))).unwrap();
        let (mask, probabilities, overlay) = (read("masks"), read("probabilities"), read("overlays"));
        assert_eq!(
            (mask.dimensions(), probabilities.dimensions(), overlay.dimensions().0),
            (size, size, size.0.max(overlay.width()))
        );
        assert!(overlay.height() > size.1, "a legend below");
        let (mask, probabilities) = (mask.into_luma8(), probabilities.into_luma16());
        let mut found = 0;
        for (mask, probability) in mask.pixels().zip(probabilities.pixels()) {
            assert!([0, 255].contains(&mask.0[0]));
            // Rounded to 16 bits, a probability may lie on the threshold.
            if probability.0[0].abs_diff(26214) > 1 {
                assert_eq!(mask.0[0] == 255, probability.0[0] > 26214);
            }
            found += u32::from(mask.0[0] == 255);
        }
        assert!(found > 0, "some vessel");
    }
}

#[test]
fn a_killed_prediction_goes_on_to_the_same_bytes_whatever_the_workers() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = fives(folder.path());
    let input = folder.path().join("photos");
    assert!(program(&["sample", text(&input), "--pairs", "20", "--size", "200"]).status().unwrap().success());
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let originals = input.join("train/Original");
    let arguments = [text(&originals)];
    let output = predict(&model, &arguments, &whole, &["--workers", "0"]);
    assert!(output.status.success(), "{}", said(&output));
    for kill in 1..=3 {
        let mut command = program(&["predict", text(&model), text(&originals), "--out", text(&killed), "--workers", "3"]);
        let masks = killed.join("masks");
        let there = || fs::read_dir(&masks).map_or(0, |entries| entries.count());
        let mut child = support::started(command_mut(&mut command), &killed, |_| there() >= 4 * kill);
        if kill == 2 {
            signal(&child, "TERM")
        } else {
            child.kill().unwrap()
        }
        child.wait().unwrap();
    }
    let before: BTreeMap<String, _> = files(&killed).keys().map(|name| (name.clone(), modified(&killed, name))).collect();
    let output = predict(&model, &arguments, &killed, &[]);
    assert!(output.status.success() && said(&output).contains("were there already"), "{}", said(&output));
    assert_eq!(files(&killed), files(&whole));
    let masks = before.iter().filter(|(name, _)| name.starts_with("masks/"));
    assert!(masks.clone().count() > 0);
    masks.for_each(|(name, before)| assert_eq!(modified(&killed, name), *before, "{name} isn't made again"));
    let output = predict(&model, &arguments, &killed, &[]);
    assert!(said(&output).contains("0 photographs predicted, 16 were there already"), "{}", said(&output));
}

fn command_mut(command: &mut Command) -> Command {
    std::mem::replace(command, Command::new("true"))
}

fn modified(folder: &Path, name: &str) -> std::time::SystemTime {
    fs::metadata(folder.join(name)).unwrap().modified().unwrap()
}

#[test]
fn a_broken_file_is_named_and_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = fives(folder.path());
    let (input, out) = (folder.path().join("photos"), folder.path().join("out"));
    photographs(&input);
    let whole = fs::read(input.join("1.png")).unwrap();
    fs::write(input.join("1.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(input.join("3.png"), "no image").unwrap();
    let output = predict(&model, &[text(&input)], &out, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = said(&output);
    assert!(
        told.contains("1 is skipped") && told.contains("3 is skipped") && told.contains("2 photographs predicted"),
        "{told}"
    );
    assert!(out.join("masks/0.png").exists() && !out.join("masks/1.png").exists());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    (0..4).for_each(|number| fs::write(empty.join(format!("{number}.png")), "").unwrap());
    let output = predict(&model, &[text(&empty)], &folder.path().join("none"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("0 photographs predicted, 4 skipped"), "{}", said(&output));
    fs::write(input.join("3.png"), whole).unwrap();
    let output = predict(&model, &[text(&input)], &out, &[]);
    assert!(said(&output).contains("1 photographs predicted, 2 were there already, 1 skipped"), "{}", said(&output));
}

#[test]
fn two_models_or_thresholds_never_share_a_folder_but_an_ensemble_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (small, model) = fives(folder.path());
    let other = trained(&small, &folder.path().join("other"), &["trainer.num_epochs=1", "seed=9"]);
    let (input, out) = (folder.path().join("photos"), folder.path().join("out"));
    photographs(&input);
    let inputs = [text(&input)];
    assert!(predict(&model, &inputs, &out, &["--no-overlays"]).status.success());
    assert!(!out.join("overlays").exists());
    for (model, more, part) in [
        (&other, &["--no-overlays"][..], "another model"),
        (&model, &["--no-overlays", "--threshold", "0.3"], "other options"),
        (&model, &["--no-overlays", "--overlap", "0.3"], "--tiles"),
        (&model, &["--no-overlays", "--size", "96"], "another size"),
    ] {
        let output = predict(model, &inputs, &out, more);
        assert_eq!(output.status.code(), Some(3));
        assert!(said(&output).contains(part) && said(&output).contains("help: "), "{}", said(&output));
    }
    let probabilities = |name: &str, model: &Path, more: &[&str]| {
        let out = folder.path().join(name);
        let output = predict(model, &inputs, &out, &[&["--no-overlays"], more].concat());
        assert!(output.status.success(), "{}", said(&output));
        let read = |number| image::open(out.join(format!("probabilities/{number}.png"))).unwrap().into_luma16().into_raw();
        (0..4).flat_map(read).collect::<Vec<u16>>()
    };
    let (one, two) = (probabilities("one", &model, &[]), probabilities("two", &other, &[]));
    let both = probabilities("both", &model, &["--with", text(&other)]);
    assert!(one.iter().zip(&two).any(|(one, two)| one.abs_diff(*two) > 100));
    for ((one, two), both) in one.iter().zip(&two).zip(&both) {
        assert!(((u32::from(*one) + u32::from(*two)) / 2).abs_diff(u32::from(*both)) <= 1);
    }
    let turned = probabilities("turned", &model, &["--turns", "all"]);
    assert!(
        turned != one
            && turned.iter().zip(&one).filter(|(turned, one)| turned.abs_diff(**one) < 20_000).count() > one.len() / 2
    );
    // What is remade with another threshold leaves nothing of the first.
    let some = [text(&input.join("0.png")).to_owned()];
    let output = predict(&model, &[&some[0]], &out, &["--no-overlays", "--threshold", "0.3", "--overwrite"]);
    assert!(output.status.success() && files(&out).len() == 2, "{}", said(&output));
    // The plan makes nothing.
    let output = predict(&model, &inputs, &folder.path().join("planned"), &["--plan"]);
    assert!(output.status.success() && said(&output).contains("host: at most") && !folder.path().join("planned").exists());
}

#[test]
fn an_evaluation_gives_the_figures_of_the_run_to_the_last_digit() {
    let folder = tempfile::tempdir().unwrap();
    let whole = {
        let small = support::files(&folder.path().join("data"));
        // Momentum makes the best epoch another one than the last, sometimes.
        (small, folder.path().join("whole"), "evaluate")
    };
    let tiles = (support::patches(&folder.path().join("patches")), folder.path().join("tiles"), "evaluate");
    let averaged = (support::two_evaluators(folder.path()), folder.path().join("averaged"), "test");
    let classes = (support::three_classes(), folder.path().join("classes"), "evaluate");
    for (small, out, of) in [whole, tiles, averaged, classes] {
        let model = trained(&small, &out, &[]);
        let card = card(&model);
        let epoch = card["epoch"].as_u64().unwrap();
        let mut evals = metrics(&out).into_iter().filter_map(|line| line.evaluation().cloned());
        let stage = if card["figures"].get(of).is_some() { of.to_owned() } else { "test".to_owned() };
        let eval = evals.find(|eval| eval.epoch == epoch && (eval.stage == stage)).unwrap();
        let output = small.eval(&model, &["--json", "--of", &stage]).stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
        for (name, value) in eval.metrics.iter() {
            assert_eq!(measured[name], serde_json::json!(value), "{name} of {}", out.display());
            assert_eq!(card["figures"][&stage][name], measured[name], "{name}");
        }
        assert_eq!(measured["images"].as_array().unwrap().len() as u64, eval.images);
        let sha = fs::read(out.join("resolved.yml")).unwrap();
        let digest: String = <sha2::Sha256 as sha2::Digest>::digest(sha).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(card["run"]["pipeline_sha256"], digest.as_str());
    }
}

#[test]
fn patterns_give_the_figures_of_the_masks_that_a_prediction_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = fives(folder.path());
    let test = folder.path().join("data/test");
    let (images, masks) = (test.join("Original/{id}.png"), test.join("Ground truth/{id}.png"));
    let eval = |more: &[&str]| {
        let output = program(&["eval", text(&model), "--images", text(&images), "--masks", text(&masks), "--json"])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let measured = eval(&["--whole-image", "--out", text(&folder.path().join("figures"))]);
    assert!(folder.path().join("figures/figures.csv").exists());
    let out = folder.path().join("out");
    assert!(predict(&model, &[text(&test.join("Original"))], &out, &[]).status.success());
    let images = measured["images"].as_array().unwrap();
    assert!(!images.is_empty());
    for image in images {
        let id = image["id"].as_str().unwrap();
        let read = |path: PathBuf| image::open(path).unwrap().into_luma8().into_raw();
        let (predicted, truth) = (read(out.join(format!("masks/{id}.png"))), read(test.join(format!("Ground truth/{id}.png"))));
        let both = predicted.iter().zip(&truth).filter(|(a, b)| **a > 127 && **b > 127).count() as f64;
        let each = |mask: &[u8]| mask.iter().filter(|&&value| value > 127).count() as f64;
        let dice = 2.0 * both / (each(&predicted) + each(&truth));
        assert!((image["dice"].as_f64().unwrap() - dice).abs() < 1e-12, "{id}");
    }
    let mean = images.iter().map(|image| image["dice"].as_f64().unwrap()).sum::<f64>() / images.len() as f64;
    assert!((measured["dice"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_ne!(eval(&[])["accuracy"], measured["accuracy"], "the surround doesn't count");
}

#[test]
fn the_model_is_the_best_epoch_s_and_starts_another_training() {
    let folder = tempfile::tempdir().unwrap();
    let small = support::two_evaluators(folder.path());
    let out = folder.path().join("run");
    let model = trained(&small, &out, &[]);
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).unwrap()).unwrap();
    let (best, last) = (card(&model), card(&out.join("last.safetensors")));
    assert_eq!(best["epoch"], summary["best"]["epoch"]);
    assert_eq!((&last["epoch"], &best["weights"], &last["weights"]), (&4.into(), &"average".into(), &"average".into()));
    assert_eq!(summary["model_epoch"], best["epoch"]);
    // From the model or from the checkpoint that it comes from: the same first step.
    let first = |init: &Path, name: &str| {
        let next = folder.path().join(name);
        let init = format!("stages.train.with.init={}", init.display());
        let output = small.run(&next, &[&init, "trainer.num_epochs=1"], &[]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let lines = metrics(&next);
        lines.iter().find(|line| line.event.name() == "step").map(|line| line.event.fields().get("loss").cloned()).unwrap()
    };
    let from_model = first(&model, "model");
    assert_eq!(from_model, first(&out.join("checkpoint/best.safetensors"), "checkpoint"));
    assert_ne!(
        from_model,
        metrics(&out).iter().find(|line| line.event.name() == "step").unwrap().event.fields().get("loss").cloned()
    );
}

#[test]
fn what_is_no_model_or_fits_nothing_is_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (small, model) = fives(folder.path());
    let (input, out) = (folder.path().join("photos"), folder.path().join("out"));
    photographs(&input);
    let inputs = [text(&input)];
    let no_model = folder.path().join("notes.safetensors");
    fs::write(&no_model, "not a model").unwrap();
    let base = trained(&small, &folder.path().join("batch"), &["trainer.num_epochs=1", "dataset.FIVES.image_size=32"]);
    for (model, more, part) in [
        (&no_model, &[][..], "it is no safetensors file"),
        (&folder.path().join("gone"), &[], "can't be read"),
        (&model, &["--size", "50"], "stride"),
        (&model, &["--tiles", "50"], "stride"),
        (&model, &["--with", text(&base)], "differ in size"),
    ] {
        let output = predict(model, &inputs, &out, more);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    let output = predict(&model, &[text(&folder.path().join("none/*.png"))], &out, &[]);
    assert!(said(&output).contains("help: "), "{}", said(&output));
    let output = program(&["eval", text(&model)]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_may_predict_and_measure_the_same_photographs() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = fives(folder.path());
    let file = folder.path().join("both.yml");
    let yaml = format!(
        "name: both\ntrainer: {{device: cpu, num_epochs: 1}}\nstages:\n  - {{id: files, use: fives, with: {{root: '{}', split: test}}}}\n  \
         - {{id: decode, use: decode}}\n  - {{id: resize, use: resize, with: {{size: 32}}}}\n  - {{id: batch, use: batch}}\n  \
         - {{id: predict, use: predict, needs: batch, with: {{models: ['{model}'], field_of_view: true}}}}\n  \
         - {{id: measure, use: evaluate_model, needs: batch, with: {{models: ['{model}'], turns: flips}}}}\n",
        folder.path().join("data").display(),
        model = model.display()
    );
    fs::write(&file, yaml).unwrap();
    let out = folder.path().join("out");
    let output = program(&["run", text(&file), "--out", text(&out)]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let eval = metrics(&out).into_iter().find_map(|line| line.evaluation().cloned()).unwrap();
    assert!(eval.metric("dice").is_some());
    for entry in fs::read_dir(out.join("overlays/test")).unwrap().flatten() {
        assert_eq!(image::image_dimensions(entry.path()).unwrap().0, 64);
    }
    // The command does what the file says, turns included.
    let output = program(&["eval", text(&model), text(&file), "--json"]).output().unwrap();
    assert!(said(&output).contains("resized in another way"), "{}", said(&output));
    let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(measured["dice"], serde_json::json!(eval.metric("dice")));
}

#[test]
fn what_is_not_a_prediction_s_is_left_alone_and_a_stop_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let (_, model) = fives(folder.path());
    let data = folder.path().join("set");
    photographs(&data.join("images"));
    photographs(&data.join("masks"));
    let before = fs::read(data.join("masks/1.png")).unwrap();
    let output = predict(&model, &[text(&data.join("images"))], &data, &["--overwrite"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("no prediction has made"), "{}", said(&output));
    assert_eq!(fs::read(data.join("masks/1.png")).unwrap(), before);
    // Pictures beside the photographs aren't photographs.
    let beside = folder.path().join("beside");
    photographs(&beside);
    for there in [0, 4] {
        let pattern = beside.join("**/*.png");
        let output = predict(&model, &[text(&pattern)], &beside, &["--no-overlays"]);
        assert!(output.status.success() && (there == 0 || said(&output).contains("4 were there already")), "{}", said(&output));
    }
    let many = folder.path().join("many");
    assert!(program(&["sample", text(&many), "--pairs", "40", "--size", "400"]).status().unwrap().success());
    let out = folder.path().join("stopped");
    let mut command =
        program(&["predict", text(&model), text(&many.join("train/Original")), "--out", text(&out), "--turns", "all"]);
    let masks = || fs::read_dir(out.join("masks")).map_or(0, |entries| entries.count());
    let child = support::started(command_mut(&mut command), &out, |_| masks() >= 1);
    let other = predict(&model, &[text(&beside)], &out, &[]);
    assert!(said(&other).contains("is running in it") || said(&other).contains("with other options"), "{}", said(&other));
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert!(masks() < 32 && said(&output).contains("the same command makes the rest"), "{}: {}", masks(), said(&output));
}

#[test]
fn a_best_checkpoint_that_cannot_be_written_is_not_made_of_later_weights() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    support::complete(&out, &["trainer.num_epochs=1"], &[]);
    // From now on a folder stands where the best checkpoint would go.
    let best = out.join("checkpoint/best.safetensors");
    fs::remove_file(&best).unwrap();
    fs::create_dir_all(best.join("in the way")).unwrap();
    let output = support::complete(&out, &[], &["--resume"]);
    // At most once after each of three evaluations, not at every micro-batch until the next.
    let failures = said(&output).matches("a checkpoint can't be written").count();
    assert!((1..=3).contains(&failures), "{failures}: {}", said(&output));
    assert_eq!(
        support::model::weights(&out, "model"),
        support::model::weights(&out, "last"),
        "the last weights stand in for it"
    );
}
