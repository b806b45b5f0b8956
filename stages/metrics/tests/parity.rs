//! Every figure of every reference case: drawn masks and real ones, with figures by scikit-learn, scikit-image and scipy.
//! The references and the data lie beside the checkout of some machines; tests/pytorch/figures.py makes others, for `PIPELINE_PARITY`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use image::DynamicImage;
use pipeline_metrics::{
    Betti, ClDice, Confusion, Image, ImageFigures, Mask, REMOVALS, Ranking, Ratios, hausdorff95, mean, skeleton,
};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The references' folder, where this machine has it.
fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("PIPELINE_PARITY") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/parity"),
    };
    if folder.join("metrics.json").exists() {
        return Some(folder);
    }
    eprintln!("{} is not on this machine: nothing is compared", folder.display());
    None
}

/// One case: what is given, and masks of the skeletons where the reference keeps them.
struct Case {
    name: String,
    height: usize,
    width: usize,
    truth: Vec<u8>,
    /// 0 or 1 where a case has a mask instead of probabilities.
    probabilities: Vec<f32>,
    /// The probabilities that the reference computed with: those of 8 bit aren't all float32.
    exact: Vec<f64>,
    fov: Vec<u8>,
    skeletons: Option<[Vec<u8>; 2]>,
    expected: Value,
}

struct Reference {
    folder: PathBuf,
    tensors: Vec<u8>,
    figures: Value,
}

impl Reference {
    fn load() -> Option<Self> {
        let folder = folder()?;
        let tensors = std::fs::read(folder.join("fixtures2/metrics.safetensors")).unwrap();
        let figures = serde_json::from_slice(&std::fs::read(folder.join("metrics.json")).unwrap()).unwrap();
        Some(Self { folder, tensors, figures })
    }

    fn cases(&self) -> Vec<Case> {
        self.figures["cases"].as_array().unwrap().iter().map(|entry| self.case(entry)).collect()
    }

    fn case(&self, entry: &Value) -> Case {
        let tensors = SafeTensors::deserialize(&self.tensors).unwrap();
        let name = entry["name"].as_str().unwrap();
        let tensor = |part: &str| tensors.tensor(&format!("{name}.{part}")).ok();
        let bytes = |part: &str| Some(tensor(part)?.data().to_vec());
        let (height, width) = (size(&entry["height"]), size(&entry["width"]));
        let source = &entry["source"];
        let exact = tensor("probability").map(|tensor| match tensor.dtype() {
            Dtype::F32 => tensor.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into()).collect(),
            _ => tensor.data().iter().map(|&value| f64::from(value) / 255.0).collect::<Vec<f64>>(),
        });
        let read = |key: &str| mask(&self.folder.join("../data").join(source[key].as_str().unwrap()));
        let truth = bytes("truth").unwrap_or_else(|| read("truth"));
        let exact = exact.unwrap_or_else(|| {
            let prediction = match source.get("moved") {
                Some(by) => moved(&truth, height, width, by[0].as_i64().unwrap(), by[1].as_i64().unwrap()),
                None => read("prediction"),
            };
            prediction.into_iter().map(f64::from).collect()
        });
        let probabilities = exact.iter().map(|&p| p as f32).collect();
        let fov = bytes("fov").unwrap_or_else(|| disc(height, width, &source["disc"]));
        let skeletons = bytes("skeleton_truth").zip(bytes("skeleton_prediction")).map(|(truth, other)| [truth, other]);
        Case { name: name.to_owned(), height, width, truth, probabilities, exact, fov, skeletons, expected: entry.clone() }
    }
}

fn size(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// Channel 0 above the middle.
fn mask(path: &std::path::Path) -> Vec<u8> {
    let image = image::open(path).unwrap();
    let channels = usize::from(image.color().channel_count());
    assert!(matches!(image, DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_) | DynamicImage::ImageRgba8(_)));
    image.as_bytes().iter().step_by(channels).map(|&value| u8::from(value > 127)).collect()
}

fn moved(mask: &[u8], height: usize, width: usize, down: i64, right: i64) -> Vec<u8> {
    let at = |y: i64, x: i64| {
        let inside = (0..height as i64).contains(&y) && (0..width as i64).contains(&x);
        if inside { mask[y as usize * width + x as usize] } else { 0 }
    };
    (0..mask.len()).map(|pixel| at((pixel / width) as i64 - down, (pixel % width) as i64 - right)).collect()
}

fn disc(height: usize, width: usize, disc: &Value) -> Vec<u8> {
    let [middle_y, middle_x, radius] = [&disc[0][0], &disc[0][1], &disc[1]].map(size);
    let within = |at: usize| (at / width).abs_diff(middle_y).pow(2) + (at % width).abs_diff(middle_x).pow(2) <= radius.pow(2);
    (0..height * width).map(|at| u8::from(within(at))).collect()
}

/// The largest difference of each figure.
#[derive(Default)]
struct Differences(BTreeMap<String, f64>);

impl Differences {
    /// Compares with a reference; `null` is undefined. The tolerance is relative to figures above 1.
    fn close(&mut self, name: &str, figure: &str, ours: Option<f64>, expected: &Value, tolerance: f64) {
        let theirs = expected.as_f64();
        assert!(expected.is_null() || theirs.is_some(), "{name} has no {figure}");
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            assert_eq!(ours, theirs, "{name}, {figure}");
            return;
        };
        let difference = (ours - theirs).abs() / theirs.abs().max(1.0);
        assert!(difference <= tolerance, "{name}, {figure}: {ours:?} instead of {theirs:?}");
        let worst = self.0.entry(figure.to_owned()).or_default();
        *worst = worst.max(difference);
    }
}

fn check_counts(name: &str, counts: &Confusion, expected: &Value) {
    let ours = [counts.true_positive, counts.false_positive, counts.false_negative, counts.true_negative];
    assert_eq!(ours.map(Some), ["tp", "fp", "fn", "tn"].map(|key| expected[key].as_u64()), "{name}");
}

/// The figures of shapes, each by its own function.
fn check_shapes(seen: &mut Differences, name: &str, prediction: &Mask, truth: &Mask, expected: &Value) {
    let length = |mask: &Mask| skeleton(mask).iter().map(|&pixel| u64::from(pixel)).sum::<u64>();
    let skeletons = [length(truth), length(prediction)].map(Some);
    assert_eq!(skeletons, ["skeleton_truth", "skeleton_prediction"].map(|key| expected[key].as_u64()), "{name}");
    let cldice = ClDice::of(prediction, truth);
    seen.close(name, "clDice's precision", cldice.precision, &expected["cldice_precision"], 1e-12);
    seen.close(name, "clDice's sensitivity", cldice.sensitivity, &expected["cldice_sensitivity"], 1e-12);
    let [there, found] = [Betti::of(truth), Betti::of(prediction)];
    let numbers = [there.components, found.components, there.holes, found.holes].map(Some);
    let keys = ["betti0_truth", "betti0_prediction", "betti1_truth", "betti1_prediction"];
    assert_eq!(numbers, keys.map(|key| expected[key].as_u64()), "{name}");
    seen.close(name, "hausdorff95", hausdorff95(prediction, truth), &expected["hausdorff95"], 1e-6);
}

fn check_image(seen: &mut Differences, name: &str, figures: &ImageFigures, expected: &Value, has_probabilities: bool) {
    check_counts(name, &figures.counts, expected);
    assert_eq!(Some(figures.ratios.both_empty), expected["both_empty"].as_bool(), "{name}");
    for (figure, value) in [
        ("dice", Some(figures.ratios.dice)),
        ("iou", Some(figures.ratios.iou)),
        ("sensitivity", figures.ratios.sensitivity),
        ("specificity", figures.ratios.specificity),
        ("precision", figures.ratios.precision),
        ("accuracy", figures.ratios.accuracy),
        ("mcc", figures.ratios.mcc),
        ("cldice", Some(figures.cldice)),
    ] {
        seen.close(name, figure, value, &expected[figure], 1e-12);
    }
    if has_probabilities {
        seen.close(name, "auc", figures.auc, &expected["auc"], 1e-9);
        seen.close(name, "average_precision", figures.average_precision, &expected["average_precision"], 1e-9);
    }
    let errors = [figures.betti0_error, figures.betti1_error].map(Some);
    assert_eq!(errors, ["betti0_error", "betti1_error"].map(|key| expected[key].as_u64()), "{name}");
    seen.close(name, "hausdorff95", figures.hausdorff95, &expected["hausdorff95"], 1e-6);
}

/// Scores with the order of float64 probabilities: 51/255 isn't the float32 next to 0.2, but would be rounded to it.
fn places(levels: &[f64], probabilities: &[f64]) -> Vec<f32> {
    assert!(levels.len() < 1 << 24, "a place is an exact float32");
    probabilities.iter().map(|p| levels.partition_point(|level| level < p) as f32).collect()
}

#[test]
fn every_case_and_the_whole_set_agree() {
    let Some(reference) = Reference::load() else { return };
    let cases = reference.cases();
    assert!(!cases.is_empty());
    let mut seen = Differences::default();
    let mut levels: Vec<f64> = cases.iter().flat_map(|case| case.exact.iter().copied()).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    for part in ["whole", "inside"] {
        let mut all = Vec::new();
        let mut pooled = (Confusion::default(), Ranking::default(), 0);
        for case in &cases {
            let name = format!("{} {part}", case.name);
            let expected = &case.expected[part];
            let has_probabilities = case.expected["probabilities"].as_bool().unwrap();
            let inside = (part == "inside").then_some(case.fov.as_slice());
            let Case { height, width, ref probabilities, ref truth, .. } = *case;
            let figures = ImageFigures::of(&Image { height, width, probabilities, truth, inside }, 0.5);
            check_image(&mut seen, &name, &figures, expected, has_probabilities);
            let masked =
                |mask: Vec<u8>| mask.iter().zip(&case.fov).map(|(a, b)| a & (b | u8::from(inside.is_none()))).collect();
            let prediction: Vec<u8> = masked(probabilities.iter().map(|&p| u8::from(p > 0.5)).collect());
            let truth: Vec<u8> = masked(case.truth.clone());
            let [prediction, truth] = [&prediction, &truth].map(|pixels| Mask::new(height, width, pixels));
            check_shapes(&mut seen, &name, &prediction, &truth, expected);
            pooled.0.add(figures.counts);
            if has_probabilities {
                pooled.1.add(&places(&levels, &case.exact), &case.truth, inside);
                pooled.2 += 1;
            }
            all.push(figures);
        }
        let expected = &reference.figures["sets"][part];
        let (counts, ranking, with_probabilities) = pooled;
        let (ratios, ranked) = (Ratios::of(&counts), ranking.finish());
        let both_empty = all.iter().filter(|figures| figures.ratios.both_empty).count() as f64;
        let others = all.iter().filter(|figures| !figures.ratios.both_empty);
        for (figure, value, tolerance) in [
            ("images", Some(all.len() as f64), 0.0),
            ("both_empty", Some(both_empty), 0.0),
            ("images_with_probabilities", Some(f64::from(with_probabilities)), 0.0),
            ("dice_mean", mean(all.iter().map(|figures| Some(figures.ratios.dice))), 1e-12),
            ("dice_mean_without_both_empty", mean(others.map(|figures| Some(figures.ratios.dice))), 1e-12),
            ("dice_pooled", Some(ratios.dice), 1e-12),
            ("iou_pooled", Some(ratios.iou), 1e-12),
            ("sensitivity_pooled", ratios.sensitivity, 1e-12),
            ("specificity_pooled", ratios.specificity, 1e-12),
            ("accuracy_pooled", ratios.accuracy, 1e-12),
            ("auc_pooled", ranked.auc, 1e-9),
            ("average_precision_pooled", ranked.average_precision, 1e-9),
        ] {
            seen.close(part, figure, value, &expected[figure], tolerance);
        }
    }
    let differences: Vec<String> = seen.0.iter().map(|(figure, worst)| format!("{figure} {worst:.1e}")).collect();
    eprintln!("{} cases; the largest differences: {}", cases.len(), differences.join(", "));
}

#[test]
fn skeletons_are_the_same_pixels() {
    let Some(reference) = Reference::load() else { return };
    if let Some(rule) = reference.figures.get("skeleton") {
        let rule = rule["removed_in_pass"].as_array().unwrap();
        assert_eq!(rule.iter().map(|pass| pass.as_u64().unwrap() as u8).collect::<Vec<_>>(), REMOVALS);
    }
    let mut compared = 0;
    for case in reference.cases() {
        let Some([truth, prediction]) = &case.skeletons else { continue };
        let predicted: Vec<u8> = case.probabilities.iter().map(|&p| u8::from(p > 0.5)).collect();
        for (mask, expected) in [(&case.truth, truth), (&predicted, prediction)] {
            assert_eq!(skeleton(&Mask::new(case.height, case.width, mask)), *expected, "{}", case.name);
            compared += 1;
        }
    }
    assert!(compared > 0);
}
