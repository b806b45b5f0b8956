//! What the stages save, spoilt in every place: a stage that is restored from it says so, and doesn't panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use common::options;
use pipeline_contract::{
    Buffer, BuildContext, ErasedSequential, Facts, Item, ItemContext, NoEvents, Result, Running, SampleCount, Saved, Shelf,
};
use pipeline_images::{Batch, MaskKind, Normalization};
use pipeline_training::kinds;
use serde_json::json;

const CHAIN: [&str; 4] = ["train_step", "accumulate", "optimizer_step", "cleanup"];

fn stages() -> Vec<Box<dyn ErasedSequential>> {
    let build = |name: &str| {
        let kind = kinds().into_iter().find(|kind| kind.name == name).unwrap();
        let given = match name {
            "train_step" => json!({"model": {"unet": {"base": 4, "depth": 2, "norm": "batch"}}, "device": "cpu"}),
            "accumulate" => json!({"steps": 2}),
            "optimizer_step" => json!({"adamw": {"lr": 0.01}, "ema": 0.9}),
            _ => json!({}),
        };
        let cx = BuildContext {
            stage: name.into(),
            seed: 7,
            peers: Vec::new(),
            pipeline: pipeline_contract::PipelineId::default(),
            epochs: 1,
            facts: vec![Facts::default()],
            settled: pipeline_contract::Settled::default(),
            samples: SampleCount::default(),
            skips_broken: false,
            strict: false,
            before: Vec::new(),
            out: std::env::temp_dir(),
            events: Arc::new(NoEvents),
        };
        match kind.build(options(&kind, given), &cx).unwrap() {
            Running::Sequential(stage) => stage,
            _ => unreachable!(),
        }
    };
    CHAIN.into_iter().map(build).collect()
}

fn send(stages: &mut [Box<dyn ErasedSequential>], item: Item) -> Result<()> {
    let Some((first, rest)) = stages.split_first_mut() else { return Ok(()) };
    let sample = item.sample.clone();
    let cx = ItemContext { stage: "test", seed: 7, epoch: 0, sample: &sample };
    first.item(0, item, &cx, &mut |item| send(rest, item))
}

fn batch(sample: u8) -> Item {
    let name: Arc<str> = format!("s{sample}").into();
    let (images, masks) = ((0..8 * 8 * 3).map(|at| sample.wrapping_mul(at)).collect(), vec![255; 64]);
    let batch = Batch {
        samples: vec![name.clone()],
        height: 8,
        width: 8,
        images,
        masks,
        kind: MaskKind::Share,
        normalization: Normalization::default(),
        originals: vec![None],
    };
    Item::new(0, name, batch)
}

/// After a step and in the middle of a window.
fn saved() -> Vec<Saved> {
    let mut stages = stages();
    (1..=3).for_each(|sample| send(&mut stages, batch(sample)).unwrap());
    stages.iter_mut().map(|stage| stage.save().unwrap()).collect()
}

/// Restores a chain and works off what is left of the window and another one.
fn restored(saved: Vec<Saved>) -> Result<Vec<Saved>> {
    let (mut stages, mut shelf) = (stages(), Shelf::default());
    for (stage, saved) in stages.iter_mut().zip(saved) {
        stage.restore(saved, &mut shelf)?;
    }
    (4..=6).try_for_each(|sample| send(&mut stages, batch(sample)))?;
    stages.iter_mut().map(|stage| stage.save()).collect()
}

#[test]
fn a_chain_goes_on_in_the_middle_of_a_window() {
    let mut whole = stages();
    (1..=6).for_each(|sample| send(&mut whole, batch(sample)).unwrap());
    let whole: Vec<Saved> = whole.iter_mut().map(|stage| stage.save().unwrap()).collect();
    let mut again = restored(saved()).unwrap();
    // How long the epoch took is the only thing that is another.
    again[2].values["epoch_seconds"] = whole[2].values["epoch_seconds"].clone();
    assert_eq!(again, whole);
}

#[test]
fn whatever_is_spoilt_is_an_error_or_harmless_and_never_a_panic() {
    let sound = saved();
    let mut refused = 0;
    let mut spoil = |at: usize, what: &str, change: &dyn Fn(&mut Saved)| {
        let mut spoilt = sound.clone();
        change(&mut spoilt[at]);
        let outcome = catch_unwind(AssertUnwindSafe(|| restored(spoilt)));
        assert!(outcome.is_ok(), "{} panics when {what}", CHAIN[at]);
        refused += usize::from(outcome.unwrap().is_err());
    };
    for (at, saved) in sound.iter().enumerate() {
        for key in saved.values.keys() {
            spoil(at, &format!("{key} is missing"), &|saved| drop(saved.values.remove(key)));
            for value in [json!(null), json!(-1), json!(u64::MAX), json!(1e300), json!("x"), json!([]), json!([1]), json!({})] {
                spoil(at, &format!("{key} is {value}"), &|saved| saved.values[key] = value.clone());
            }
        }
        for key in saved.buffers.keys() {
            spoil(at, &format!("{key} is missing"), &|saved| drop(saved.buffers.remove(key)));
            for buffer in
                [Buffer::Floats(vec![]), Buffer::Floats(vec![f32::NAN; 3]), Buffer::Bytes(vec![1; 7]), Buffer::Counts(vec![])]
            {
                spoil(at, &format!("{key} is {buffer:?}"), &|saved| drop(saved.buffers.insert(key.clone(), buffer.clone())));
            }
        }
    }
    assert!(refused > 400, "only {refused} were refused");
}
