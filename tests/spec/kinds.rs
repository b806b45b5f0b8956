//! A small vocabulary of stage kinds for the tests of the file reader: real declarations, stages that never run.

use pipeline::contract::{
    BuildContext, Checked, Either, Facts, Finding, ItemContext, Join, Map, Metric, Nothing, OptionSpec, OptionType, Output,
    Payload, Place, Registry, Result, Role, Sequential, Source, StageKind, Variant, fact,
};
use serde_json::{Value, json};

macro_rules! payloads {
    ($($name:ident: $word:literal),*) => {$(
        #[derive(Clone)]
        struct $name;
        impl Payload for $name {
            const NAME: &'static str = $word;
            fn bytes(&self) -> u64 {
                0
            }
        }
    )*};
}

payloads!(Files: "files", Pair: "image_pair", Batch: "batch", Gradients: "gradients", Step: "step");

/// A stage that is declared but never run.
struct Unrun<I, O>(std::marker::PhantomData<fn(I) -> O>);

impl<O: Payload> Source for Unrun<(), O> {
    type Out = O;
    fn epoch(&mut self, _: u64, _: &mut Output<'_, O>) -> Result<()> {
        unreachable!("never run")
    }
}

impl Map for Unrun<Files, Pair> {
    type In = Files;
    type Out = Pair;
    fn map(&self, _: Files, _: &ItemContext<'_>) -> Result<Pair> {
        unreachable!("never run")
    }
}

impl Map for Unrun<Pair, Pair> {
    type In = Pair;
    type Out = Pair;
    fn map(&self, _: Pair, _: &ItemContext<'_>) -> Result<Pair> {
        unreachable!("never run")
    }
}

macro_rules! sequential {
    ($($input:ty => $output:ty),* $(,)?) => {$(
        impl Sequential for Unrun<$input, $output> {
            type In = $input;
            type Out = $output;
            fn item(&mut self, _: $input, _: &ItemContext<'_>, _: &mut Output<'_, $output>) -> Result<()> {
                unreachable!("never run")
            }
        }
    )*};
}

sequential!(Pair => Batch, Batch => Gradients, Gradients => Gradients, Gradients => Step, Step => Step, Either<Step, Batch> => Nothing);

fn unrun<I, O>(_: Value, _: &BuildContext) -> Result<Unrun<I, O>> {
    Ok(Unrun(std::marker::PhantomData))
}

/// The kinds: a short form of the ones that come with the program.
pub fn registry() -> Registry {
    Registry::new().with_all([
        StageKind::source("fives", "the samples of a data set in the FIVES layout", unrun::<(), Files>)
            .option(OptionSpec::required("root", OptionType::Path, "the data set's folder"))
            .option(OptionSpec::new("split", OptionType::Choice(&["train", "test"]), "train", "which part of it"))
            .option(OptionSpec::new("shuffle", OptionType::Bool, false, "a new order in each epoch"))
            .option(OptionSpec::optional("part", OptionType::Text, "what the samples are used for"))
            .check(fives),
        StageKind::map("decode", "reads an image and its mask", unrun::<Files, Pair>),
        StageKind::map("resize", "scales images and masks", unrun::<Pair, Pair>)
            .option(OptionSpec::required("size", size(), "the side of the square in pixels, or [height, width]"))
            .option(OptionSpec::new(
                "filter",
                OptionType::Choice(&["nearest", "linear", "area"]),
                "area",
                "how pixels are mixed",
            ))
            .check(resize),
        StageKind::map("augment", "changes images at random", unrun::<Pair, Pair>)
            .option(OptionSpec::new("flip", OptionType::Bool, false, "mirrors half of them"))
            .option(OptionSpec::new("brightness", OptionType::share(), 0.0, "largest change"))
            .option(OptionSpec::optional("note", OptionType::Text, "what people want to remember"))
            .option(OptionSpec::optional("shares", shares(), "how often each is done")),
        StageKind::sequential("batch", "gathers pairs into micro-batches", unrun::<Pair, Batch>).option(OptionSpec::new(
            "size",
            OptionType::Integer { min: 1, max: 1024 },
            1,
            "samples in a micro-batch",
        )),
        StageKind::device("train_step", "forward and backward of the network", unrun::<Batch, Gradients>)
            .option(OptionSpec::required("model", model(), "the network"))
            .option(OptionSpec::new("loss", OptionType::Choice(&["bce", "dice", "bce_dice"]), "bce_dice", "the loss"))
            .option(OptionSpec::from_key("device", OptionType::Text, "trainer.device", "auto", "where it runs"))
            .option(OptionSpec::from_key(
                "precision",
                OptionType::Choice(&["no", "fp16", "bf16"]),
                "trainer.mixed_precision",
                "no",
                "precision of convolutions and activations",
            ))
            .check(train_step),
        StageKind::device("accumulate", "adds up the gradients of a window", unrun::<Gradients, Gradients>)
            .option(OptionSpec::required("steps", OptionType::at_least(1), "micro-batches in a window")),
        StageKind::device("optimizer_step", "changes the weights", unrun::<Gradients, Step>)
            .option(OptionSpec::new(
                "clip",
                OptionType::AnyOf(vec![OptionType::Choice(&["off"]), OptionType::Number { min: 0.0, max: 1e6 }]),
                "off",
                "largest norm of the gradient",
            ))
            .option(OptionSpec::new("rule", rule(), json!({"sgd": {"lr": 0.01}}), "how the weights change")),
        StageKind::device("cleanup", "gives unused device memory back", unrun::<Step, Step>)
            .option(OptionSpec::new(
                "when",
                OptionType::list(OptionType::Choice(&["start", "epoch_end", "step"])),
                json!(["epoch_end"]),
                "when it does",
            ))
            .option(OptionSpec::new("keep", OptionType::Bytes, 0, "how much it leaves"))
            .may_end(),
        StageKind::device("evaluate", "the test figures at the end of an epoch", unrun::<Either<Step, Batch>, Nothing>)
            .role(Role::Evaluator)
            .metrics([Metric::max("dice"), Metric::max("iou"), Metric::min("hd95")])
            .join(Join::InTurn),
    ])
}

fn size() -> OptionType {
    let side = OptionType::Integer { min: 1, max: 8192 };
    OptionType::AnyOf(vec![side.clone(), OptionType::List { of: Box::new(side), min: 2, max: 2 }])
}

fn shares() -> OptionType {
    OptionType::Map {
        of: Box::new(OptionType::AnyOf(vec![OptionType::Choice(&["always"]), OptionType::share()])),
        min: 1,
        max: 3,
    }
}

fn model() -> OptionType {
    let unet = Variant::new("unet", "the U-Net of Ronneberger et al.")
        .option(OptionSpec::new("base", OptionType::Integer { min: 1, max: 1024 }, 32, "channels of the first level"))
        .option(OptionSpec::new("depth", OptionType::Integer { min: 1, max: 8 }, 5, "levels"))
        .option(OptionSpec::new("norm", OptionType::Choice(&["group", "batch", "none"]), "group", "normalisation"));
    let custom =
        Variant::new("file", "a network from a file").option(OptionSpec::required("path", OptionType::Path, "the file"));
    OptionType::Variant(vec![unet, custom])
}

fn rule() -> OptionType {
    let lr = || OptionSpec::new("lr", OptionType::Number { min: 0.0, max: 10.0 }, 0.001, "learning rate");
    OptionType::Variant(vec![
        Variant::new("adamw", "Adam with decoupled weight decay").option(lr()),
        Variant::new("sgd", "plain descent").option(lr()),
    ])
}

fn fives(options: &Value, _: &[Facts]) -> Checked {
    let mut facts = Facts::default();
    if let Some(part) = options["part"].as_str() {
        facts.set(fact::PART, part, "part");
    }
    Checked::facts(facts)
}

fn resize(options: &Value, inputs: &[Facts]) -> Checked {
    let mut facts = inputs.first().cloned().unwrap_or_default();
    let size = &options["size"];
    facts.set(fact::HEIGHT, size.get(0).unwrap_or(size).clone(), "size");
    facts.set(fact::WIDTH, size.get(1).unwrap_or(size).clone(), "size");
    Checked::facts(facts)
}

fn train_step(options: &Value, inputs: &[Facts]) -> Checked {
    let mut checked = Checked::default();
    if let Some(depth) = options["model"]["unet"]["depth"].as_u64() {
        let multiple = 1 << (depth - 1);
        for name in [fact::HEIGHT, fact::WIDTH] {
            let Some(side) = inputs[0].integer(name).filter(|side| side % multiple != 0) else { continue };
            let place = Place::Fact { input: 0, name: name.into() };
            let message = format!("a {name} of {side} is no multiple of {multiple}, which a U-Net of depth {depth} needs");
            let nearest = (side + multiple / 2) / multiple * multiple;
            checked.findings.push(Finding::error(place, message).help(format!("the nearest is {nearest}")));
        }
        if options["model"]["unet"]["norm"] == "batch" {
            let place = Place::Option("model.unet.norm".into());
            checked.findings.push(Finding::warning(place, "batch norm sees one image at a time here").help("use group norm"));
        }
    }
    checked
}
