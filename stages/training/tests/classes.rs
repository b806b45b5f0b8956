//! Several classes in the stages: trained, measured, drawn, and saved in the middle of an evaluation; labels that are no class.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::options;
use pipeline_contract::events::EvalEvent;
use pipeline_contract::{
    BuildContext, ErasedSequential, Event, Events, Facts, Finding, Item, ItemContext, Place, Result, Running, Saved, Shelf,
    fact,
};
use pipeline_images::{Batch, MaskKind, Normalization};
use pipeline_training::kinds;
use serde_json::{Value, json};

/// Keeps the evaluations.
#[derive(Default)]
struct Evaluations(Mutex<Vec<EvalEvent>>);

impl Events for Evaluations {
    fn record(&self, event: Event) {
        if let Event::Eval(eval) = event {
            self.0.lock().unwrap().push(EvalEvent { device_bytes_peak: None, ..eval });
        }
    }

    fn summarize(&self, _: &str, _: Value) {}
}

/// What `decode` says of masks with these names; none: binary ones.
fn facts(names: &[&str], ignored: bool) -> Facts {
    let mut facts = Facts::default();
    if !names.is_empty() {
        facts.set(fact::CLASSES, names.len(), "labels");
        facts.set(fact::CLASS_NAMES, json!(names), "labels");
    }
    if ignored {
        facts.set(fact::IGNORE_INDEX, 255, "labels");
    }
    facts
}

const NAMES: [&str; 3] = ["background", "artery", "vein"];

/// A trainer, an optimizer and an evaluator.
struct Chain {
    stages: Vec<Box<dyn ErasedSequential>>,
    events: Arc<Evaluations>,
}

impl Chain {
    fn new(out: &Path, labels: Facts) -> Self {
        let events = Arc::new(Evaluations::default());
        let model = json!({"unet": {"base": 4, "depth": 2, "norm": "group", "groups": 4, "classes": 3}});
        let build = |(name, given): (&str, Value)| {
            let kind = kinds().into_iter().find(|kind| kind.name == name).unwrap();
            let cx = BuildContext {
                facts: vec![labels.clone(); 2],
                out: out.into(),
                events: events.clone(),
                ..BuildContext::standalone(name)
            };
            match kind.build(options(&kind, given), &cx).unwrap() {
                Running::Sequential(stage) => stage,
                other => panic!("{other:?}"),
            }
        };
        let stages = [
            ("train_step", json!({"model": model, "loss": "ce_dice", "device": "cpu"})),
            ("accumulate", json!({"steps": 2})),
            ("optimizer_step", json!({"adamw": {"lr": 0.01}})),
            ("evaluate", json!({"tensors": true, "pictures": 3})),
        ];
        Self { stages: stages.into_iter().map(build).collect(), events }
    }

    fn train(&mut self, samples: std::ops::Range<u8>) -> Result<()> {
        samples.into_iter().try_for_each(|sample| send(&mut self.stages, batch(sample)))
    }

    fn test(&mut self, samples: std::ops::Range<u8>) -> Result<()> {
        let cx = ItemContext { stage: "evaluate", seed: 0, epoch: 0, sample: "test" };
        samples.into_iter().try_for_each(|sample| self.stages[3].item(1, batch(sample), &cx, &mut |_| Ok(())))
    }

    fn end(mut self) -> EvalEvent {
        self.stages[3].epoch_end(0, &mut |_| Ok(())).unwrap();
        self.events.0.lock().unwrap().pop().unwrap()
    }

    fn save(&mut self) -> Vec<Saved> {
        self.stages.iter_mut().map(|stage| stage.save().unwrap()).collect()
    }

    fn restore(&mut self, saved: Vec<Saved>) {
        let mut shelf = Shelf::default();
        self.stages.iter_mut().zip(saved).for_each(|(stage, saved)| stage.restore(saved, &mut shelf).unwrap());
    }
}

fn send(stages: &mut [Box<dyn ErasedSequential>], item: Item) -> Result<()> {
    let Some((first, rest)) = stages.split_first_mut() else { return Ok(()) };
    let sample = item.sample.clone();
    let cx = ItemContext { stage: "test", seed: 0, epoch: 0, sample: &sample };
    first.item(0, item, &cx, &mut |item| send(rest, item))
}

/// Red arteries and blue veins on black, and a corner that is ignored.
fn batch(sample: u8) -> Item {
    let shift = usize::from(sample) % 5;
    let label = |at: usize| match (at / 16, at % 16) {
        (0, 0) => 255,
        (y, _) if y == 4 + shift => 1,
        (_, x) if x == 9 + shift => 2,
        _ => 0,
    };
    let masks: Vec<u8> = (0..256).map(label).collect();
    of(sample, masks)
}

fn of(sample: u8, masks: Vec<u8>) -> Item {
    let colour = |label: &u8| [[20, 20, 20], [200, 30, 20], [20, 30, 200]][usize::from(*label) % 3];
    let images = masks.iter().flat_map(colour).collect();
    let samples = vec![format!("s{sample}").into()];
    let batch = Batch {
        samples,
        height: 16,
        width: 16,
        images,
        masks,
        kind: MaskKind::Class,
        normalization: Normalization::default(),
        originals: Vec::new(),
    };
    Item::new(0, format!("s{sample}"), batch)
}

#[test]
fn each_class_is_learnt_and_has_figures_by_its_name() {
    let out = tempfile::tempdir().unwrap();
    let mut chain = Chain::new(out.path(), facts(&NAMES, true));
    for _ in 0..12 {
        chain.train(0..10).unwrap();
    }
    chain.test(0..5).unwrap();
    let eval = chain.end();
    let value = |class: &str, figure: &str| eval.classes.get(class).and_then(|figures| *figures.get(figure)?);
    assert_eq!(eval.classes.iter().map(|(name, _)| name).collect::<Vec<_>>(), &NAMES[1..], "without the background");
    for class in &NAMES[1..] {
        assert!(value(class, "dice").is_some_and(|dice| dice > 0.9), "{eval:?}");
        for figure in ["iou", "sensitivity", "specificity"] {
            assert!(value(class, figure).is_some_and(|value| (0.5..=1.0).contains(&value)), "{figure}: {eval:?}");
        }
    }
    let mean = |figure| NAMES[1..].iter().filter_map(|class| value(class, figure)).sum::<f64>() / 2.0;
    assert_eq!((eval.metric("dice"), eval.metric("iou")), (Some(mean("dice")), Some(mean("iou"))));
    assert_eq!((eval.metric("auc"), eval.images), (None, 5));
    let file = std::fs::read(out.path().join("predictions.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    assert_eq!(tensors.len(), 3 * 3, "three pictures");
    let probabilities = tensors.tensor("s0.probability").unwrap();
    assert_eq!(probabilities.shape(), [3, 16, 16]);
    let values: Vec<f32> = probabilities.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    for pixel in 0..256 {
        let sum: f32 = (0..3).map(|class| values[class * 256 + pixel]).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum} at {pixel}");
    }
    assert!(out.path().join("predictions.png").exists());
}

#[test]
fn an_evaluation_goes_on_from_its_middle_to_the_same_figures_and_files() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let chain = |at: usize| Chain::new(folders[at].path(), facts(&NAMES, true));
    let mut whole = chain(0);
    whole.train(0..6).unwrap();
    whole.test(0..2).unwrap();
    let saved = whole.save();
    whole.test(2..5).unwrap();
    let mut again = chain(1);
    again.restore(saved);
    again.test(2..5).unwrap();
    assert_eq!(again.end(), whole.end());
    for file in ["predictions.png", "predictions.safetensors"] {
        let read = |folder: &tempfile::TempDir| std::fs::read(folder.path().join(file)).unwrap();
        assert!(read(&folders[0]) == read(&folders[1]), "{file}");
    }
}

#[test]
fn a_label_that_is_no_class_is_an_error_that_names_the_sample() {
    let out = tempfile::tempdir().unwrap();
    let mut chain = Chain::new(out.path(), facts(&NAMES, true));
    let mut masks = vec![0; 256];
    masks[16 * 2 + 5] = 3;
    let error = send(&mut chain.stages, of(7, masks.clone())).unwrap_err();
    assert_eq!(error.message(), "the mask of s7 has the label 3 at (5, 2), and the model has 3 classes");
    chain = Chain::new(out.path(), facts(&NAMES, true));
    chain.train(0..2).unwrap();
    let cx = ItemContext { stage: "evaluate", seed: 0, epoch: 0, sample: "test" };
    let error = chain.stages[3].item(1, of(8, masks), &cx, &mut |_| Ok(())).unwrap_err();
    assert!(error.message().contains("the mask of s8 has the label 3"), "{error}");
}

#[test]
fn the_trainer_holds_its_classes_against_those_of_the_masks() {
    let kind = kinds().into_iter().find(|kind| kind.name == "train_step").unwrap();
    let checked = |classes: u64, loss: &str, facts: Facts| {
        let given = json!({"model": {"unet": {"classes": classes}}, "loss": loss});
        kind.run_check(&options(&kind, given), &[facts]).unwrap()
    };
    let said = |classes, loss, facts| -> Vec<(Place, String)> {
        let told = |finding: Finding| (finding.place, finding.message);
        checked(classes, loss, facts).findings.into_iter().map(told).collect()
    };
    let (classes, loss) = (Place::Option("model.unet.classes".into()), Place::Option("loss".into()));
    let have = "the masks have 3 classes (background, artery, vein), and the model has";
    for (model, name, masks, expected) in [
        (3, "ce_dice", facts(&NAMES, true), vec![]),
        (2, "ce_dice", facts(&[], false), vec![]),
        (1, "bce_dice", facts(&["background", "vessel"], false), vec![]),
        (1, "bce_dice", facts(&NAMES, false), vec![(&classes, format!("{have} one"))]),
        // The loss is right for the masks: only the model isn't.
        (1, "ce_dice", facts(&NAMES, false), vec![(&classes, format!("{have} one"))]),
        (4, "ce_dice", facts(&NAMES, false), vec![(&classes, format!("{have} 4"))]),
        (3, "ce_dice", facts(&[], false), vec![(&classes, "the masks are binary, and the model has 3 classes".into())]),
        (3, "bce_dice", facts(&NAMES, false), vec![(&loss, "this loss is for one class, the model has 3".into())]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(place, message)| (place.clone(), message)).collect();
        assert_eq!(said(model, name, masks), expected, "{model} {name}");
    }
    let facts = checked(3, "ce_dice", facts(&NAMES, false)).facts;
    assert_eq!((facts.integer(fact::MODEL_CLASSES), facts.integer(fact::CLASSES)), (Some(3), Some(3)), "for the evaluator");
}

#[test]
fn the_evaluator_holds_test_masks_against_those_in_training() {
    let kind = kinds().into_iter().find(|kind| kind.name == "evaluate").unwrap();
    let said = |model: u64, learnt: Facts, tested: Facts, threshold: f64| -> Vec<(Place, String)> {
        let mut steps = learnt;
        steps.set(fact::MODEL_CLASSES, model, "model");
        let given = options(&kind, json!({"threshold": threshold}));
        let findings = kind.run_check(&given, &[steps, tested]).unwrap().findings;
        findings.into_iter().map(|finding| (finding.place, finding.message)).collect()
    };
    let labels = Place::Fact { input: 1, name: fact::CLASSES.into() };
    let turned = ["background", "vein", "artery"];
    let trained = "and the training masks have the classes background, artery, vein";
    for (model, learnt, tested, place, message) in [
        (3, &NAMES[..], &turned[..], &labels, format!("the test masks have the classes background, vein, artery, {trained}")),
        (3, &NAMES, &[], &Place::Stage, format!("the test masks are binary, {trained}")),
        (
            1,
            &[],
            &NAMES,
            &labels,
            "the test masks have the classes background, artery, vein, and the training masks are binary".into(),
        ),
    ] {
        assert_eq!(said(model, facts(learnt, false), facts(tested, false), 0.5), [(place.clone(), message)]);
    }
    assert_eq!(said(3, facts(&NAMES, true), facts(&NAMES, false), 0.5), [], "what is ignored may differ");
    assert_eq!(said(2, facts(&[], false), facts(&[], false), 0.5), []);
    let found = said(3, facts(&NAMES, false), facts(&NAMES, false), 0.4);
    assert_eq!(found[0].0, Place::Option("threshold".into()));
    assert_eq!(said(1, facts(&[], false), facts(&[], false), 0.4), []);
}
