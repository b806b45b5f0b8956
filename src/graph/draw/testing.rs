//! Graphs for the tests of the drawings: the pipelines that people write, and random ones.
//! Their stages can't be run.

use pipeline_contract::{
    Either, ItemContext, Map, Nothing, OptionSpec, OptionType, Output, Payload, Result, Sequential, Source, StageError,
    StageKind,
};
use serde_json::{Value, json};

use super::{Format, Timing, draw};
use crate::graph::{Bound, Graph, Stage, build};

macro_rules! payload {
    ($($name:ident = $text:literal),*) => {$(
        #[derive(Clone)]
        struct $name;
        impl Payload for $name {
            const NAME: &'static str = $text;
            fn bytes(&self) -> u64 { 0 }
        }
    )*};
}
payload!(Files = "files", Pair = "image_pair", Batch = "batch", Gradients = "gradients", Window = "window", Step = "step");

/// Stands for any stage from `I` to `O`.
struct Stub<I, O>(std::marker::PhantomData<fn(I) -> O>);

impl<I: Payload, O: Payload> Source for Stub<I, O> {
    type Out = O;
    fn epoch(&mut self, _: u64, _: &mut Output<'_, O>) -> Result<()> {
        Ok(())
    }
}

impl<I: Payload, O: Payload> Map for Stub<I, O> {
    type In = I;
    type Out = O;
    fn map(&self, _: I, _: &ItemContext<'_>) -> Result<O> {
        Err(StageError::stopped())
    }
}

struct Ordered<I, O>(std::marker::PhantomData<fn(I) -> O>);

impl<I: pipeline_contract::Inputs, O: Payload> Sequential for Ordered<I, O> {
    type In = I;
    type Out = O;
    fn item(&mut self, _: I, _: &ItemContext<'_>, _: &mut Output<'_, O>) -> Result<()> {
        Ok(())
    }
}

fn source<O: Payload>(name: &'static str) -> StageKind {
    StageKind::source(name, "lists files", |_: (), _| Ok(Stub::<Files, O>(std::marker::PhantomData)))
}

fn map<I: Payload, O: Payload>(name: &'static str) -> StageKind {
    StageKind::map(name, "maps one thing to another", |_: (), _| Ok(Stub::<I, O>(std::marker::PhantomData)))
}

fn sequential<I: pipeline_contract::Inputs, O: Payload>(name: &'static str) -> StageKind {
    StageKind::sequential(name, "sees its items in order", |_: (), _| Ok(Ordered::<I, O>(std::marker::PhantomData)))
}

fn device<I: pipeline_contract::Inputs, O: Payload>(name: &'static str) -> StageKind {
    StageKind::device(name, "works on the device", |_: (), _| Ok(Ordered::<I, O>(std::marker::PhantomData)))
}

fn fives_source() -> StageKind {
    let split = OptionSpec::new("split", OptionType::Choice(&["train", "test"]), "train", "which part");
    let shuffle = OptionSpec::new("shuffle", OptionType::Bool, false, "whether the order changes with the epoch");
    source::<Files>("fives").option(OptionSpec::required("root", OptionType::Path, "the folder")).option(split).option(shuffle)
}

fn resize() -> StageKind {
    map::<Pair, Pair>("resize").option(OptionSpec::required("size", OptionType::at_least(1), "the side, pixels"))
}

fn augment() -> StageKind {
    let kind = map::<Pair, Pair>("augment").option(OptionSpec::new("flip", OptionType::Bool, false, "flips"));
    kind.option(OptionSpec::new("brightness", OptionType::share(), 0.0, "brightness")).option(OptionSpec::new(
        "contrast",
        OptionType::share(),
        0.0,
        "contrast",
    ))
}

fn batch() -> StageKind {
    sequential::<Pair, Batch>("batch").option(OptionSpec::new("size", OptionType::at_least(1), 1, "samples"))
}

fn train_step() -> StageKind {
    let model = OptionSpec::required("model", OptionType::Variant(Vec::new()), "the network");
    device::<Batch, Gradients>("train_step").option(model).option(OptionSpec::new("loss", OptionType::Text, "bce", "the loss"))
}

fn accumulate() -> StageKind {
    device::<Gradients, Window>("accumulate").option(OptionSpec::new("steps", OptionType::at_least(1), 1, "micro-batches"))
}

pub(super) fn stage(id: &str, kind: StageKind, needs: &[&str], options: Value) -> Stage {
    let needs = needs.iter().map(|&need| need.into()).collect();
    Stage { id: id.into(), kind, options, needs, workers: None, bound: None }
}

pub(super) fn built(stages: Vec<Stage>) -> Graph {
    let (graph, problems) = build(stages);
    graph.unwrap_or_else(|| panic!("{problems:?}"))
}

fn with_workers(mut stage: Stage, workers: usize) -> Stage {
    stage.workers = Some(workers);
    stage
}

fn fives_stages() -> Vec<Stage> {
    let none = || json!({});
    vec![
        stage("files", fives_source(), &[], json!({"root": "data/FIVES", "split": "train", "shuffle": true})),
        with_workers(stage("decode", map::<Files, Pair>("decode"), &["files"], none()), 4),
        stage("resize", resize(), &["decode"], json!({"size": 1024})),
        stage("augment", augment(), &["resize"], json!({"flip": true, "brightness": 0.2, "contrast": 0.2})),
        stage("batch", batch(), &["augment"], json!({"size": 1})),
        stage("train", train_step(), &["batch"], json!({"model": {"unet": {"base": 32}}, "loss": "bce_dice"})),
        stage("accum", accumulate(), &["train"], json!({"steps": 4})),
        stage("optim", device::<Window, Step>("optimizer_step"), &["accum"], none()),
        stage("clean", device::<Step, Step>("cleanup").may_end(), &["optim"], none()),
    ]
}

/// The design's example: one chain of nine stages in four lanes.
pub(super) fn fives() -> Graph {
    built(fives_stages())
}

/// The same with a second chain that joins at `evaluate`.
pub(super) fn tested() -> Graph {
    let mut stages = fives_stages();
    let root = json!({"root": "data/FIVES", "split": "test", "shuffle": false});
    stages.push(stage("test_files", fives_source(), &[], root));
    stages.push(with_workers(stage("test_decode", map::<Files, Pair>("decode"), &["test_files"], json!({})), 4));
    stages.push(stage("test_resize", resize(), &["test_decode"], json!({"size": 1024})));
    stages.push(stage("test_batch", batch(), &["test_resize"], json!({"size": 1})));
    let join = pipeline_contract::Join::InTurn;
    stages.push(stage(
        "evaluate",
        device::<Either<Step, Batch>, Nothing>("evaluate").join(join),
        &["clean", "test_batch"],
        json!({}),
    ));
    built(stages)
}

/// A decode that feeds training and a preview.
pub(super) fn branch() -> Graph {
    let mut stages = fives_stages();
    stages.insert(2, stage("preview", sequential::<Pair, Nothing>("preview"), &["decode"], json!({})));
    if let Some(resize) = stages.get_mut(3) {
        resize.bound = Some(Bound { items: 8, bytes: 3 << 29 });
    }
    built(stages)
}

/// One stage.
pub(super) fn single() -> Graph {
    built(vec![stage("files", source::<Files>("fives").may_end(), &[], json!({}))])
}

/// A chain of these ids, alternating between workers and in order.
pub(super) fn chain(ids: &[&str]) -> Graph {
    let kind = |at: usize| match at {
        0 => source::<Pair>("source"),
        at if at % 3 == 2 => sequential::<Pair, Pair>("keep"),
        _ => map::<Pair, Pair>("map"),
    };
    let needs = |at: usize| if at == 0 { vec![] } else { vec![ids[at - 1]] };
    built(ids.iter().enumerate().map(|(at, id)| stage(id, kind(at).may_end(), &needs(at), json!({}))).collect())
}

/// A random graph of `count` stages; the same for the same seed.
pub(super) fn random(seed: u64, count: usize) -> Graph {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut below = move |limit: usize| {
        // xorshift64*, Vigna 2016.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    };
    let mut stages: Vec<Stage> = Vec::new();
    // Whether a stage is on the device, and whether one above it is: a chain must not come back to the device.
    let mut devices: Vec<(bool, bool)> = Vec::new();
    for at in 0..count {
        let id = ["a", "stage", "long_stage_name"][below(3)].to_string() + &at.to_string();
        let choice = if at == 0 { 0 } else { below(10) };
        let on_device = (6..=8).contains(&choice);
        let fits: Vec<usize> = (0..at).filter(|&other| !on_device || devices[other].0 || !devices[other].1).collect();
        let kind = match choice {
            0 => source::<Pair>("source"),
            1..=4 => map::<Pair, Pair>("map"),
            5 => sequential::<Pair, Pair>("keep"),
            6 | 7 => device::<Pair, Pair>("learn"),
            8 => device::<Either<Pair, Pair>, Pair>("learn_two"),
            _ => sequential::<Either<Pair, Pair>, Pair>("join"),
        };
        let needs: Vec<usize> = kind.inputs.iter().map(|_| fits[fits.len() - 1 - below(fits.len().min(6))]).collect();
        devices.push((on_device, on_device || needs.iter().any(|&need| devices[need].1)));
        let needs: Vec<String> = needs.iter().map(|&need| stages[need].id.clone()).collect();
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        stages.push(stage(&id, kind.may_end(), &needs, json!({})));
    }
    built(stages)
}

/// What a run of [`fives`] might have measured.
pub(super) fn timings() -> Vec<Timing> {
    let busy = [0.1, 9.0, 4.2, 3.1, 0.4, 62.0, 1.5, 4.0, 0.3];
    let stages = fives_stages();
    stages.iter().zip(busy).map(|(stage, busy_seconds)| Timing { stage: stage.id.clone(), items: 600, busy_seconds }).collect()
}

/// Every named graph, and some random ones.
pub(super) fn all() -> Vec<(&'static str, Graph, Option<Vec<Timing>>)> {
    let mut graphs = vec![
        ("fives", fives(), None),
        ("timed", fives(), Some(timings())),
        ("tested", tested(), None),
        ("branch", branch(), None),
        ("single", single(), None),
    ];
    graphs.extend((1..=4).map(|seed| ("random", random(seed, 20), None)));
    graphs
}

/// Writes every graph of the tests in every format to the folder of this variable, to be looked at.
#[test]
fn pictures_to_look_at() -> std::io::Result<()> {
    let Some(folder) = std::env::var_os("PIPELINE_DRAW_TO") else { return Ok(()) };
    let folder = std::path::Path::new(&folder);
    for (at, (name, graph, timings)) in all().into_iter().enumerate() {
        for (format, end) in [(Format::Dot, "dot"), (Format::Svg, "svg"), (Format::Mermaid, "mmd"), (Format::Ascii, "txt")] {
            std::fs::write(folder.join(format!("{at}-{name}.{end}")), draw(&graph, name, format, timings.as_deref()))?;
        }
    }
    Ok(())
}
