//! The stages as the engine runs them: a chain on random batches, its events, its files, the same bytes each time.
//! And every kind's defaults and checks.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::options;
use pipeline_contract::{
    BuildContext, End, ErasedSequential, Event, Events, Facts, Item, ItemContext, Result, Running, SampleCount, Saved,
    Severity, Shelf, StageKind, stage_rng,
};
use pipeline_images::{Batch, MaskKind, Normalization};
use pipeline_training::kinds;
use rand::RngExt as _;
use serde_json::{Value, json};

/// Keeps what is recorded.
#[derive(Default)]
struct Log(Mutex<Vec<(String, Value)>>);

impl Events for Log {
    fn record(&self, event: Event) {
        self.0.lock().unwrap().push((event.name().into(), Value::Object(event.fields())));
    }

    fn summarize(&self, key: &str, value: Value) {
        self.0.lock().unwrap().push((format!("summary.{key}"), value));
    }
}

impl Log {
    fn all(&self, event: &str) -> Vec<Value> {
        self.0.lock().unwrap().iter().filter(|(name, _)| name == event).map(|(_, value)| value.clone()).collect()
    }
}

fn kind(name: &str) -> StageKind {
    kinds().into_iter().find(|kind| kind.name == name).expect("a kind of this name")
}

fn build(name: &str, given: Value, out: &Path, events: &Arc<Log>) -> Box<dyn ErasedSequential> {
    let facts = [("samples", 7u64), ("batch", 1), ("accumulation", 3), ("height", 16), ("width", 16)];
    let mut known = Facts::default();
    facts.into_iter().for_each(|(name, value)| known.set(name, value, name));
    let cx = BuildContext {
        stage: name.into(),
        seed: 7,
        peers: Vec::new(),
        pipeline: pipeline_contract::PipelineId::default(),
        epochs: 4,
        facts: vec![known],
        settled: pipeline_contract::Settled::default(),
        samples: SampleCount::default(),
        skips_broken: false,
        strict: false,
        before: Vec::new(),
        out: out.into(),
        events: events.clone(),
    };
    let kind = kind(name);
    match kind.build(options(&kind, given), &cx).expect("a stage") {
        Running::Sequential(stage) => stage,
        other => panic!("{other:?}"),
    }
}

/// A batch of one: a bright cross on noise.
fn batch(sample: u64) -> Item {
    let mut rng = stage_rng(sample, 0, "batch", "test");
    let (x, y) = (rng.random_range(3..13), rng.random_range(3..13));
    let masks: Vec<u8> = (0..256).map(|at| if at % 16 == x || at / 16 == y { 255 } else { 0 }).collect();
    let images = masks.iter().flat_map(|mask| [0; 3].map(|_: i32| mask / 255 * 120 + rng.random_range(0..100u8))).collect();
    let samples = vec![format!("s{sample}").into()];
    let batch = Batch {
        samples,
        height: 16,
        width: 16,
        images,
        masks,
        kind: MaskKind::Share,
        normalization: Normalization::default(),
        originals: Vec::new(),
    };
    Item::new(0, format!("s{sample}"), batch)
}

/// One stage after the other, each to completion, as the device's lane runs them.
fn send(stages: &mut [Box<dyn ErasedSequential>], item: Item, epoch: u64) -> Result<()> {
    let Some((first, rest)) = stages.split_first_mut() else { return Ok(()) };
    let mut item = item;
    item.epoch = epoch;
    let sample = item.sample.clone();
    let cx = ItemContext { stage: "test", seed: 7, epoch, sample: &sample };
    first.item(0, item, &cx, &mut |item| send(rest, item, epoch))
}

fn end_epoch(stages: &mut [Box<dyn ErasedSequential>], epoch: u64) -> Result<()> {
    let Some((first, rest)) = stages.split_first_mut() else { return Ok(()) };
    first.epoch_end(epoch, &mut |item| send(rest, item, epoch))?;
    end_epoch(rest, epoch)
}

fn fan(exporter: Box<dyn ErasedSequential>, tester: Box<dyn ErasedSequential>) -> Box<dyn ErasedSequential> {
    struct Fan(Box<dyn ErasedSequential>, Box<dyn ErasedSequential>);
    type Sink<'a> = &'a mut dyn FnMut(Item) -> Result<()>;
    impl ErasedSequential for Fan {
        fn item(&mut self, port: usize, item: Item, cx: &ItemContext<'_>, sink: Sink<'_>) -> Result<()> {
            self.0.item(port, item.clone(), cx, sink)?;
            self.1.item(port, item, cx, sink)
        }
        fn epoch_end(&mut self, epoch: u64, sink: Sink<'_>) -> Result<()> {
            for sample in 100..103 {
                let cx = ItemContext { stage: "test", seed: 7, epoch, sample: "test" };
                self.1.item(1, batch(sample), &cx, sink)?;
            }
            self.0.epoch_end(epoch, sink)?;
            self.1.epoch_end(epoch, sink)
        }
        fn finish(&mut self, end: End) -> Result<()> {
            self.0.finish(end)?;
            self.1.finish(end)
        }
        fn save(&mut self) -> Result<Saved> {
            self.1.save()
        }
        fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()> {
            self.0.restore(Saved::default(), shelf)?;
            self.1.restore(saved, shelf)
        }
    }
    Box::new(Fan(exporter, tester))
}

/// Four epochs of seven samples, micro-batches of one, windows of three.
fn run(norm: &str, out: &Path, end: End, extra: u64) -> Arc<Log> {
    let events = Arc::new(Log::default());
    let model = json!({"model": {"unet": {"base": 8, "depth": 2, "norm": norm}}, "device": "cpu"});
    let optimizer = json!({"adamw": {"lr": 0.01}, "schedule": {"cosine": {"warmup_steps": 2}}, "clip_norm": 5.0});
    let mut stages = vec![
        build("train_step", model, out, &events),
        build("accumulate", json!({"steps": 3}), out, &events),
        build("optimizer_step", optimizer, out, &events),
        build("cleanup", json!({"every": 2}), out, &events),
        fan(build("export", json!({}), out, &events), build("evaluate", json!({}), out, &events)),
    ];
    for epoch in 0..4 {
        (0..7).try_for_each(|sample| send(&mut stages, batch(sample), epoch)).expect("no failure");
        end_epoch(&mut stages, epoch).expect("no failure");
    }
    (0..extra).try_for_each(|sample| send(&mut stages, batch(sample), 4)).expect("no failure");
    stages.iter_mut().for_each(|stage| stage.finish(end).expect("no failure"));
    events
}

#[test]
fn a_chain_trains_evaluates_and_exports() {
    let out = tempfile::tempdir().unwrap();
    let events = run("group", out.path(), End::Complete, 0);
    let steps = events.all("step");
    assert_eq!(steps.len(), 12, "windows of 3, 3 and 1 in each of four epochs");
    assert_eq!(steps.iter().map(|step| step["samples"].as_u64().unwrap()).take(4).collect::<Vec<_>>(), [3, 6, 7, 10]);
    assert_eq!((&steps[3]["epoch"], &steps[3]["step"], &steps[3]["skipped"]), (&json!(2), &json!(4), &json!(false)));
    assert_eq!(steps[0]["lr"], json!(0.005), "the warm-up");
    assert!(steps[11]["lr"].as_f64().unwrap() < 0.001, "12 steps are known from the facts");
    assert!(steps.iter().all(|step| step["grad_norm"].as_f64().unwrap() > 0.0 && step["loss_scale"] == json!(1.0)));
    let losses: Vec<_> = events.all("epoch").iter().map(|epoch| epoch["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 4 && losses[3] < 0.8 * losses[0], "{losses:?}");
    let evals = events.all("eval");
    assert_eq!((evals.len(), &evals[3]["images"], &evals[3]["epoch"]), (4, &json!(3), &json!(4)));
    assert!(evals[3]["auc"].as_f64().unwrap() > 0.9, "{evals:?}");
    let names: Vec<_> = kind("evaluate").metrics.iter().map(|metric| metric.name).collect();
    for name in &names {
        let most = if name.starts_with("betti") || *name == "hausdorff95" { f64::INFINITY } else { 1.0 };
        assert!((0.0..=most).contains(&evals[3][*name].as_f64().unwrap()), "{name}");
    }
    assert_eq!((names.len(), names[0]), (19, "dice"));
    assert_eq!(
        (&evals[3]["at"], &evals[3]["threshold"], &evals[3]["both_empty"]),
        (&json!("training"), &json!(0.5), &json!(0)),
        "no decode has kept an original"
    );
    let [low, high] = [0, 1].map(|end| evals[3]["intervals"]["dice"][end].as_f64().unwrap());
    assert!(low <= evals[3]["dice"].as_f64().unwrap() && evals[3]["dice"].as_f64().unwrap() <= high && low < high);
    let images: Vec<_> = events.all("image").into_iter().filter(|image| image["epoch"] == json!(4)).collect();
    let dice: Vec<f64> = images.iter().map(|image| image["metrics"]["dice"].as_f64().unwrap()).collect();
    assert!(dice.len() == 3 && dice.is_sorted(), "the worst first: {dice:?}");
    assert!((dice.iter().sum::<f64>() / 3.0 - evals[3]["dice"].as_f64().unwrap()).abs() < 1e-12);
    let table = std::fs::read_to_string(out.path().join("figures.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert!(rows.len() == 4 && rows.iter().all(|row| row.len() == 16), "{table}");
    assert_eq!((rows[1][0], rows[1][4]), (images[0]["sample"].as_str().unwrap(), &*dice[0].to_string()), "the events' figures");
    assert!(out.path().join("predictions.png").exists() && out.path().join("model.safetensors").exists());
    let bytes = std::fs::read(out.path().join("model.safetensors")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().clone().unwrap()["norm"], "group");
}

#[test]
fn the_same_run_gives_the_same_bytes_and_a_stopped_one_drops_its_partial_window() {
    for norm in ["group", "batch"] {
        let sums = [(End::Complete, 0), (End::Complete, 0), (End::Interrupted, 2)].map(|(end, extra)| {
            let out = tempfile::tempdir().unwrap();
            let events = run(norm, out.path(), end, extra);
            (events.all("summary.weights_sha256"), events.all("step").len())
        });
        assert_eq!(sums[0], sums[1]);
        assert_eq!(sums[2].1, 12, "two samples make no window of three");
        assert_eq!(sums[0].0, sums[2].0, "weights and statistics are those of the last whole window");
    }
}

#[test]
fn every_kind_takes_its_defaults() {
    let mut names = Vec::new();
    for kind in kinds() {
        let given = match kind.name {
            "optimizer_step" => json!({"adamw": {}}),
            // They have no default: a model.
            "evaluate_model" | "predict" => continue,
            _ => json!({}),
        };
        let checked = kind.run_check(&options(&kind, given), &[Facts::default()]).expect("the declaration fits");
        assert_eq!(checked.findings, [], "{}", kind.name);
        assert!(kind.example.contains(&format!("use: {}", kind.name)) && !kind.doc.is_empty());
        names.push(kind.name);
    }
    assert_eq!(names, ["train_step", "accumulate", "optimizer_step", "cleanup", "evaluate", "export"]);
}

#[test]
fn checks_say_what_is_wrong() {
    let findings = |name: &str, given: Value, facts: &[(&str, u64)]| {
        let mut known = Facts::default();
        facts.iter().for_each(|(name, value)| known.set(name, *value, name));
        let kind = kind(name);
        kind.run_check(&options(&kind, given), &[known]).expect("the declaration fits").findings
    };
    let found = findings("train_step", json!({}), &[("height", 500), ("width", 512), ("batch", 4)]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "image height 500 is not divisible by 16, the network's stride");
    assert_eq!(found[0].help.as_deref(), Some("resize to 496 or 512"));
    let model = |norm: &str| json!({"model": {"unet": {"base": 8, "depth": 3, "norm": norm}}});
    let found = findings("train_step", model("batch"), &[("batch", 1), ("height", 64), ("width", 64)]);
    assert!(found.len() == 1 && found[0].severity == Severity::Warning && found[0].message.contains("one image at a time"));
    let accumulated =
        |steps: u64, batch: u64| findings("accumulate", json!({"steps": steps}), &[("batch", batch), ("batch_norm", 1)]);
    let found = accumulated(4, 2);
    assert!(found.len() == 1 && found[0].message.contains("the 2 images of a micro-batch, not the 8 of a window"), "{found:?}");
    assert_eq!(accumulated(1, 2), [], "one micro-batch is the whole window");
    assert_eq!(accumulated(4, 1), [], "`train_step` has said so");
    assert_eq!(findings("accumulate", json!({"steps": 4}), &[("batch", 2)]), [], "other norms look at one sample");
    let found = findings("train_step", model("instance"), &[("batch", 4), ("height", 4), ("width", 4)]);
    assert!(found.len() == 1 && found[0].message.contains("single value"), "{found:?}");
    let found = findings("train_step", json!({"model": {"unet": {"base": 12}}}), &[]);
    assert!(found.len() == 1 && found[0].help.is_some(), "{found:?}");
    assert!(
        findings("optimizer_step", json!({}), &[])[0].help.as_deref().is_some_and(|help| help.contains("adamw, adam and sgd"))
    );
    assert_eq!(
        findings("optimizer_step", json!({"adamw": {}, "sgd": {"lr": 0.1}}), &[])[0].message,
        "more than one optimizer is given"
    );
    let cosine = json!({"adamw": {}, "schedule": {"cosine": {}}});
    assert_eq!(findings("optimizer_step", cosine, &[]), [], "the source says how many samples there are when it runs");
    let evaluate = kind("evaluate");
    let mut facts = [Facts::default(), Facts::default()];
    facts[0].set("stride", 16, "model");
    facts[1].set("width", 500, "size");
    let found = evaluate.run_check(&options(&evaluate, json!({})), &facts).expect("the declaration fits").findings;
    assert_eq!(found[0].message, "test image width 500 is not divisible by 16, the network's stride");
    assert_eq!(found[0].help.as_deref(), Some("resize to 496 or 512"));
}
