//! The pipelines of public data sets on drawn data in their layouts: which files belong together, which part each is in, and that a run measures
//! what was drawn. The rows of README.md's table.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod drawn;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use drawn::{HEIGHT, Layout, WIDTH, class, is_inside, is_vessel, red};
use pipeline::contract::{BuildContext, Stored};
use pipeline::{builtin, spec};
use safetensors::SafeTensors;
use serde_json::Value;

/// A pipeline on its layout.
struct Case {
    file: &'static str,
    /// The block of `dataset` that has `data_root`.
    block: &'static str,
    layout: Layout,
    /// What makes it small.
    set: &'static [&'static str],
    /// How many samples the stages `files`, `val_files` and `test_files` have.
    counts: [usize; 3],
    /// What of an id samples of one group have in common.
    group: fn(&str) -> &str,
}

const SMALL: [&str; 5] = [
    "trainer.device=cpu",
    "trainer.num_epochs=1",
    "trainer.mixed_precision='no'",
    "stages.evaluate.with.tensors=true",
    "stages.evaluate.with.pictures=64",
];

const BINARY: &str = "stages.train.with.model={unet: {base: 4, depth: 2, groups: 4}}";
/// Some have a threshold of their own.
const AT_HALF: &str = "stages.evaluate.with.threshold=0.5";

impl Case {
    fn set(&self) -> Vec<String> {
        let root = format!("dataset.{}.data_root={}", self.block, self.layout.folder.path().display());
        std::iter::once(root).chain(SMALL.iter().chain(self.set).map(|set| (*set).to_owned())).collect()
    }

    fn path(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(self.file)
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeline"));
        command.arg(arguments[0]).arg(self.path()).args(&arguments[1..]).env("PIPELINE_CACHE", self.layout.path(".cache"));
        for set in &self.set() {
            command.args(["--set", set]);
        }
        command.output().unwrap()
    }

    /// The samples of a stage, each with its photograph and mask below the folder.
    fn listed(&self, stage: &str) -> BTreeMap<String, [String; 2]> {
        let loaded = spec::load(&self.path(), &self.set(), &builtin());
        let told: Vec<_> = loaded.diagnostics.iter().map(|problem| problem.render(&loaded.source, false)).collect();
        let pipeline = loaded.pipeline.unwrap_or_else(|| panic!("{}", told.join("\n")));
        let Some(node) = pipeline.graph.node(stage) else { return BTreeMap::new() };
        let stage = pipeline.graph.stage(node);
        let contents = stage.kind.list_contents(stage.options.clone(), &BuildContext::standalone("files")).unwrap().unwrap();
        let name = |stored: &Stored| match stored {
            Stored::File { path, .. } => path.strip_prefix(self.layout.folder.path()).unwrap().to_str().unwrap().to_owned(),
            Stored::Computed(_) => panic!("no file"),
        };
        let files = |parts: &[pipeline::contract::Part]| [&parts[0], &parts[1]].map(|part| name(&part.stored));
        contents.into_iter().map(|content| (content.sample.to_string(), files(&content.parts))).collect()
    }

    /// That each stage lists what belongs together, and that the parts share no group.
    fn check_files(&self) {
        let mut groups = BTreeMap::new();
        let mut all = BTreeSet::new();
        for (stage, count) in ["files", "val_files", "test_files"].into_iter().zip(self.counts) {
            let listed = self.listed(stage);
            assert_eq!(listed.len(), count, "{} {stage}: {listed:?}", self.file);
            for (id, [image, mask]) in listed {
                let expected = &self.layout.samples[&id];
                assert_eq!([&image, &mask], [&expected.image, &expected.mask], "{} {stage}", self.file);
                let part = groups.entry((self.group)(&id).to_owned()).or_insert(stage);
                assert_eq!(*part, stage, "{}: {id} is apart from its group", self.file);
                all.insert(id);
            }
        }
        assert_eq!(all.len(), self.layout.samples.len(), "{}", self.file);
    }

    /// Validates, plans and runs it; then what it measured, sample by sample.
    fn check_run(&self, fields: bool, classes: bool) {
        for command in ["validate", "plan"] {
            let output = self.command(&[command]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("error"), "{} {command}: {said}", self.file);
        }
        let out = self.layout.path(".run");
        let output = self.command(&["run", "--out", out.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.file);
        assert!(!said.contains("._") && !said.contains("Thumbs"), "{}: {said}", self.file);
        // The first evaluator of the file has the plain name.
        let written = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let is_measured = |path: &PathBuf| {
            path.file_name().unwrap().to_str().unwrap().starts_with("predictions") && path.extension().unwrap() == "safetensors"
        };
        let bytes = fs::read(written.filter(is_measured).min().unwrap()).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let lines = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let tested = self.listed("test_files");
        for id in tested.keys() {
            let number = self.layout.samples[id].number;
            let tensor = |what: &str| tensors.tensor(&format!("{id}.{what}")).unwrap();
            let (image, mask) = (tensor("image"), tensor("mask"));
            assert_eq!(mask.shape(), [HEIGHT as usize, WIDTH as usize], "{} {id}", self.file);
            let mean = image.data().chunks(3).map(|pixel| f64::from(pixel[0])).sum::<f64>() / f64::from(HEIGHT * WIDTH);
            assert!((mean - f64::from(red(number))).abs() < 2.5, "{} {id}: {mean} is another photograph's", self.file);
            let pixels = || (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
            let expected: Vec<u8> = match classes {
                true => pixels().map(|(x, y)| class(number, x, y)).collect(),
                false => pixels().map(|(x, _)| if is_vessel(number, x) { 255 } else { 0 }).collect(),
            };
            assert!(mask.data() == expected, "{} {id}: the mask is another one's", self.file);
            let measured =
                |event: &&Value| event["event"] == "image" && event["stage"] == "evaluate" && event["sample"] == id.as_str();
            let event = events.iter().find(measured).unwrap();
            assert_eq!(event["field_of_view"], fields, "{} {id}", self.file);
            if classes {
                let named: Vec<&String> = event["classes"].as_object().unwrap().keys().collect();
                assert_eq!(named, ["artery", "vein"]);
                continue;
            }
            // The share of right pixels, within the field of view where there is one.
            let said = tensor("probability")
                .data()
                .chunks(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()) >= 0.5)
                .collect::<Vec<_>>();
            let counted = pixels().zip(said).filter(|((x, y), _)| !fields || is_inside(number, *x, *y));
            let right: Vec<f64> = counted.map(|((x, _), said)| f64::from(u8::from(said == is_vessel(number, x)))).collect();
            let accuracy = right.iter().sum::<f64>() / right.len() as f64;
            let measured = event["metrics"]["accuracy"].as_f64().unwrap();
            assert!((accuracy - measured).abs() < 1e-6, "{} {id}: {measured}, not {accuracy}", self.file);
        }
    }
}

fn whole(id: &str) -> &str {
    id
}

fn before_last(id: &str) -> &str {
    id.rsplit_once('_').unwrap().0
}

#[test]
fn drive() {
    let set = &["dataset.DRIVE.image_size=[48, 64]", BINARY, AT_HALF];
    let case = Case { file: "drive.yml", block: "DRIVE", layout: drawn::drive(), set, counts: [7, 2, 3], group: whole };
    case.check_files();
    case.check_run(true, false);
    // The second observer's masks, by the line that the file has.
    let second = "stages.test_files.with.mask=\"test/2nd_manual/{id}_manual2.gif\"";
    let case = Case {
        set: &["dataset.DRIVE.image_size=[48, 64]", BINARY, "stages.test_files.with.mask=\"test/2nd_manual/{id}_manual2.gif\""],
        ..case
    };
    assert!(fs::read_to_string(case.path()).unwrap().contains(second));
    assert!(case.listed("test_files").values().all(|[_, mask]| mask.starts_with("test/2nd_manual/")));
}

#[test]
fn stare() {
    let set = &["dataset.STARE.image_size=[48, 64]", BINARY, AT_HALF];
    let case = Case { file: "stare.yml", block: "STARE", layout: drawn::stare("ppm.gz"), set, counts: [6, 2, 2], group: whole };
    case.check_files();
    case.check_run(false, false);
    let case = Case { set: &["dataset.STARE.observer=vk"], layout: drawn::stare("ppm.gz"), ..case };
    assert_eq!(case.listed("files").len(), 6);
    assert!(case.listed("test_files").values().all(|[_, mask]| mask.starts_with("labels-vk/")));
}

#[test]
fn hrf() {
    let set = &["dataset.HRF.patch_size=32", BINARY, AT_HALF];
    let case = Case { file: "hrf.yml", block: "HRF", layout: drawn::hrf(), set, counts: [10, 2, 3], group: whole };
    case.check_files();
    let classes: BTreeSet<String> = case.listed("test_files").into_keys().map(|id| id[3..].to_owned()).collect();
    assert_eq!(classes.len(), 3, "each class is in each fold");
    case.check_run(true, false);
}

#[test]
fn carvana() {
    let set = &["dataset.Carvana.image_size=[48, 64]", BINARY, AT_HALF];
    let case =
        Case { file: "carvana.yml", block: "Carvana", layout: drawn::carvana(), set, counts: [16, 2, 2], group: before_last };
    case.check_files();
    case.check_run(false, false);
}

#[test]
fn nnunet() {
    let set =
        &["dataset.raw.image_size=[48, 64]", "stages.train.with.model={unet: {base: 4, depth: 2, groups: 4, classes: 3}}"];
    let case = Case { file: "nnunet.yml", block: "raw", layout: drawn::nnunet(), set, counts: [7, 1, 2], group: whole };
    case.check_files();
    case.check_run(false, true);
    // Channels in files of their own.
    fs::copy(case.layout.path("imagesTr/vessel_001_0000.png"), case.layout.path("imagesTr/vessel_001_0001.png")).unwrap();
    let output = case.command(&["run", "--out", case.layout.path(".other").to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in ["a file for each channel (_0000, _0001, ...) aren't read: imagesTr/vessel_001_0000.png", "-combine"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn fives() {
    let set = &["dataset.FIVES.image_size=[48, 64]", BINARY, AT_HALF, "trainer.fit_may_change=[]"];
    let case = Case { file: "fives.yml", block: "FIVES", layout: drawn::fives(), set, counts: [8, 2, 2], group: whole };
    case.check_files();
    case.check_run(false, false);
}

#[test]
fn chase_db1() {
    let set = &["dataset.CHASE_DB1.image_size=[48, 64]", BINARY];
    let case = Case {
        file: "chase_db1.yml",
        block: "CHASE_DB1",
        layout: drawn::chase_db1(),
        set,
        counts: [16, 0, 4],
        group: before_last,
    };
    case.check_files();
    case.check_run(false, false);
    let summary = fs::read_to_string(case.layout.path(".run/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let unread = summary["warnings"].as_array().unwrap().iter().filter(|warning| warning["kind"] == "fits_no_pattern");
    let told: Vec<&str> = unread.map(|warning| warning["message"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 2, "once for each source");
    let expected = "20 files that look like images fit no pattern: Image_01L_2ndHO.png, Image_01R_2ndHO.png, Image_02L_2ndHO.png and 17 more";
    assert!(told.iter().all(|message| message.ends_with(expected)), "{told:?}");
    let set = &["dataset.CHASE_DB1.patch_size=32", BINARY];
    let case = Case { file: "chase_db1_patches.yml", set, ..case };
    case.check_files();
}
