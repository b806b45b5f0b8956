//! Masks on their way from files to a batch: classes stay the numbers that they were given, and binary masks what they always were.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use image::{GrayImage, Luma, Rgb, RgbImage};
use pipeline_contract::{
    BuildContext, DefaultValue, Facts, Item, ItemContext, NoEvents, Registry, Running, SampleCount, Settled, fact,
};
use pipeline_images::{Batch, Classes, SampleFiles, kinds};
use serde_json::{Map, Value, json};

/// Sends samples through decode, resize, augment and batch. Gives the batch and what is known of it before the run.
fn batch(decode: Value, augment: Value, samples: Vec<SampleFiles>, source: Facts) -> (Batch, Facts) {
    let stages = [
        ("decode", decode),
        ("resize", json!({"size": [40, 56]})),
        ("augment", augment),
        ("batch", json!({"size": samples.len()})),
    ];
    let registry = Registry::new().with_all(kinds());
    let (mut facts, mut built) = (source, Vec::new());
    for (name, given) in stages {
        let kind = registry.get(name).unwrap();
        let mut options = Map::new();
        for option in &kind.options {
            if let DefaultValue::Value(value) = &option.default {
                options.insert(option.name.into(), value.clone());
            }
        }
        options.extend(given.as_object().unwrap().clone());
        let checked = kind.run_check(&Value::Object(options.clone()), &[facts.clone()]).unwrap();
        assert_eq!(checked.findings, []);
        let cx = BuildContext {
            stage: name.into(),
            seed: 42,
            peers: Vec::new(),
            pipeline: pipeline_contract::PipelineId::default(),
            epochs: 1,
            facts: vec![facts],
            settled: Settled::default(),
            samples: SampleCount::default(),
            skips_broken: false,
            strict: false,
            before: Vec::new(),
            out: std::env::temp_dir(),
            events: Arc::new(NoEvents),
        };
        built.push((name, kind.build(Value::Object(options), &cx).unwrap()));
        facts = checked.facts;
    }
    let mut batches: Vec<Batch> = Vec::new();
    for (at, sample) in samples.into_iter().enumerate() {
        let name = at.to_string();
        let mut item = Item::new(0, name.as_str(), sample);
        for (stage, running) in &mut built {
            let cx = ItemContext { stage, seed: 42, epoch: 0, sample: &name };
            match running {
                Running::Map(map) => item = map.map(item, &cx).unwrap(),
                Running::Sequential(batch) => {
                    let mut sink = |item: Item| item.take().map(|batch| batches.push(batch));
                    batch.item(0, item, &cx, &mut sink).unwrap();
                    break;
                }
                other => panic!("a {other:?} is none of the stages"),
            }
        }
    }
    (batches.remove(0), facts)
}

fn every_move() -> Value {
    json!({"flip": true, "rotate90": true, "rotate": 25, "scale": 0.1, "brightness": 0.2})
}

/// A photograph and a mask on the disk.
fn pair(dir: &Path, name: &str, size: (u32, u32), mask: impl Fn(&Path)) -> SampleFiles {
    let [image, path] = ["image", "mask"].map(|what| dir.join(format!("{name}_{what}.png")));
    RgbImage::from_fn(size.0, size.1, |x, y| Rgb([(x * 2 % 256) as u8, (y * 3 % 256) as u8, ((x * y) % 256) as u8]))
        .save(&image)
        .unwrap();
    mask(&path);
    SampleFiles::Pair { image, mask: path, inside: None }
}

/// FNV-1a.
fn hash<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn a_batch_without_labels_has_shares_of_vessel() {
    let dir = tempfile::tempdir().unwrap();
    let size = (90, 70);
    let ramp = |x: u32, y: u32| (x * 5 + y * 3) as u8;
    let samples = vec![
        pair(dir.path(), "grey", size, |path| GrayImage::from_fn(90, 70, |x, y| Luma([ramp(x, y)])).save(path).unwrap()),
        pair(dir.path(), "ones", size, |path| {
            GrayImage::from_fn(90, 70, |x, y| Luma([u8::from(x % 9 < y % 7)])).save(path).unwrap();
        }),
        pair(dir.path(), "colour", size, |path| {
            RgbImage::from_fn(90, 70, |x, y| Rgb([ramp(x, y), ramp(y, x), 255])).save(path).unwrap();
        }),
        pair(dir.path(), "low", size, |path| GrayImage::from_fn(90, 70, |x, _| Luma([(x % 3) as u8])).save(path).unwrap()),
    ];
    let (batch, facts) = batch(json!({}), every_move(), samples, Facts::default());
    // Turned and resized, so that some pixels are partly vessel; most are or are not.
    let sure = batch.masks.iter().filter(|&&share| share == 0 || share == 255).count();
    assert!(sure > batch.masks.len() / 2 && sure < batch.masks.len());
    assert_eq!(facts.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["batch", "drop_last", "height", "resized", "width"]);
    let (masks, images) = (hash(&batch.masks), hash(&batch.images));
    assert_eq!((masks, images), (0x7d44_bb21_e486_9d9a, 0x5679_52e4_44a1_52ab), "{masks:#x} {images:#x}");
}

/// How many pixels have each number.
fn counts(mask: &[u8]) -> BTreeMap<u8, usize> {
    let mut counts = BTreeMap::new();
    mask.iter().for_each(|&number| *counts.entry(number).or_default() += 1);
    counts
}

#[test]
fn three_classes_arrive_in_the_batch_as_they_went_in() {
    let dir = tempfile::tempdir().unwrap();
    // Bars of all values. A batch that mixed them would hold numbers between; one that lost them would miss some.
    let values = [[0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 255, 0], [255, 255, 255]];
    let bars = |name: &str, width: u32, height: u32, thick: u32| {
        pair(dir.path(), name, (width, height), |path| {
            RgbImage::from_fn(width, height, |x, y| Rgb(values[((x / thick + y / thick) % 5) as usize])).save(path).unwrap();
        })
    };
    let labels = json!({"artery": [255, 0, 0], "vein": [0, 0, 255], "disc": [0, 255, 0]});
    let samples = vec![bars("small", 56, 40, 8), bars("large", 333, 222, 20), bars("thin", 90, 70, 1)];
    let (batch, facts) = batch(json!({"labels": labels, "ignore_label": 255}), every_move(), samples, Facts::default());
    assert_eq!(batch.masks.len(), 3 * 40 * 56);
    for (name, mask) in ["small", "large", "thin"].iter().zip(batch.masks.chunks_exact(40 * 56)) {
        let counts = counts(mask);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 255], "{name}");
        // A fifth each, and the background also fills the corners that a turn leaves free.
        let turned = |number: &u8, count: &usize| *number == 0 || (200..600).contains(count);
        assert!(counts.iter().all(|(number, count)| turned(number, count)), "{name}: {counts:?}");
    }
    let classes = Classes::of(&facts).unwrap();
    assert_eq!(classes.names, ["background", "artery", "vein", "disc"]);
    assert!(classes.ignored);
    assert_eq!((facts.integer(fact::CLASSES), facts.integer(fact::IGNORE_INDEX)), (Some(4), Some(255)));
    assert_eq!(facts.get(fact::CLASS_NAMES).unwrap().option, "labels");
}

#[test]
fn the_image_and_its_classes_move_together() {
    let dir = tempfile::tempdir().unwrap();
    // Large squares, each with the shade of its class: only their edges are mixed. Black is also what a turn leaves free.
    let shade = |number: usize| [0_u8, 80, 160, 240][number];
    let number = |x: u32, y: u32| ((x / 30 + 2 * (y / 30)) % 4) as usize;
    let [image, mask] = ["image.png", "mask.png"].map(|name| dir.path().join(name));
    GrayImage::from_fn(120, 120, |x, y| Luma([shade(number(x, y))])).save(&image).unwrap();
    GrayImage::from_fn(120, 120, |x, y| Luma([number(x, y) as u8])).save(&mask).unwrap();
    let labels = json!({"labels": {"one": 1, "two": 2, "three": 3}});
    let moves = json!({"flip": true, "rotate90": true, "rotate": 25, "scale": 0.1});
    let (batch, _) = batch(labels, moves, vec![SampleFiles::Pair { image, mask, inside: None }; 4], Facts::default());
    let pixels = batch.images.chunks_exact(3).zip(&batch.masks);
    let together = pixels.filter(|(pixel, number)| pixel[0].abs_diff(shade(usize::from(**number))) < 10).count();
    assert!(together * 3 > batch.masks.len() * 2, "{together} of {}", batch.masks.len());
    assert_ne!(batch.masks[..2240], batch.masks[2240..4480], "each is moved in its own way");
}

#[test]
fn drawn_eyes_have_arteries_and_veins() {
    let source = Registry::new().with_all(kinds()).get("synthetic_fundus").unwrap().clone();
    let given = json!({"pairs": 2, "size": 96, "seed": 7, "split": "train", "shuffle": false, "classes": true});
    let facts = source.run_check(&given, &[]).unwrap().facts;
    let samples = (0..2).map(|seed| SampleFiles::Drawn { size: 96, seed, classes: true }).collect();
    let labels = json!({"labels": {"artery": [255, 0, 0], "vein": [0, 0, 255]}});
    let (batch, facts) = batch(labels, every_move(), samples, facts);
    assert_eq!(counts(&batch.masks).keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(facts.integer(fact::CLASSES), Some(3));
}
