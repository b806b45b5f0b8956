//! `evaluate`: after the steps of an epoch, measures the network on test images, at their own size, and draws the first few of them.
//! Batch norm uses its running statistics; nothing is trained here. What the figures are is in `pipeline-metrics`.

mod evaluator;
mod figures;
mod measured;
mod model;
mod options;
mod pool;
mod predictions;
mod score;
mod table;

use std::sync::Arc;

use pipeline_contract::events::{EvalEvent, summary};
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{
    BuildContext, Checked, Either, Event, Events, Facts, Finding, ItemContext, Join, Nothing, Output, Place, Result, Role,
    Saved, Sequential, Shelf, StageError, StageKind, fact, is_due,
};
use pipeline_images::{Batch, Classes};

use self::evaluator::Evaluator;
use self::figures::Figures;
use self::measured::METRICS;
use self::options::{At, DEFAULT_THRESHOLD, Options, Threshold};
use self::pool::{MOST_BYTES, Pool};
use self::predictions::{Predicted, Tensors, write_tensors};
use self::score::{Job, Rules, reduced};
use self::table::worst_first;
use super::Step;
use super::masks::unlike_training;
use super::prediction::{Tiles, Tiling, Turn, lost, predict, turns};
use crate::micro_batch::{MicroBatch, Pixels, learn};
use crate::trainee::Shared;

pub(super) use model::kind as model_kind;

pub(super) fn kind() -> StageKind {
    let kind = StageKind::device("evaluate", "measures the network on test images at the end of every epoch", Evaluate::build);
    options::all()
        .into_iter()
        .fold(kind, StageKind::option)
        .role(Role::Evaluator)
        .metrics(METRICS)
        .join(Join::InTurn)
        .holds(|options, inputs| match inputs {
            [steps, _] => held(options, inputs, steps.integer(fact::MODEL_CLASSES).unwrap_or(1)),
            _ => MOST_BYTES,
        })
        .check(check)
        .example("- {id: test, use: evaluate, needs: [clean, test_batch], with: {threshold: 0.5}}")
}

/// What the scoring of test images and their tiles hold at most, in bytes, for a network of this many classes.
fn held(options: &serde_json::Value, inputs: &[Facts], classes: u64) -> u64 {
    let Some(images) = inputs.last() else { return MOST_BYTES };
    let side = |name| images.integer(name).unwrap_or(0);
    let pixels = side(fact::HEIGHT).saturating_mul(side(fact::WIDTH));
    pool::planned(images, classes)
        .saturating_add(Tiles::planned(options, inputs).map_or(0, |tiles| tiles.bytes(pixels, classes)))
}

/// Checks that test images and their masks fit the network, whose stride and classes `train_step` set as facts.
fn check(options: &Options, inputs: &[Facts]) -> Checked {
    let stride = inputs.first().and_then(|steps| steps.integer(fact::STRIDE)).unwrap_or(1).max(1);
    let size = |name: &'static str| inputs.get(1).and_then(|images| images.integer(name)).map(|size| (name, size));
    let finding = |(name, size): (&str, u64)| {
        let message = format!("test image {name} {size} is not divisible by {stride}, the network's stride");
        let (below, above) = (size / stride * stride, size.div_ceil(stride).max(1) * stride);
        let help = if below == 0 { format!("resize to {above}") } else { format!("resize to {below} or {above}") };
        Finding::error(Place::Fact { input: 1, name: name.into() }, message).help(help)
    };
    let sizes = [size(fact::HEIGHT), size(fact::WIDTH)].into_iter().flatten();
    let mut findings: Vec<Finding> = match &options.tiles {
        Some(tiles) => tiles.findings(inputs.first(), stride).into_iter().collect(),
        None => sizes.filter(|(_, size)| !size.is_multiple_of(stride)).map(finding).collect(),
    };
    if let [steps, images] = inputs
        && let Some(model) = steps.integer(fact::MODEL_CLASSES)
    {
        findings.extend(unlike_training(model as usize, steps, images));
        if model > 1 && (options.threshold != Threshold::Given(DEFAULT_THRESHOLD) || options.choose_threshold) {
            let message = format!("a threshold does nothing with {model} classes: each pixel is of the most probable one");
            findings.push(Finding::error(Place::Option("threshold".into()), message).help("remove it"));
        }
    }
    findings.extend(inputs.get(1).filter(|_| options.at == At::Native).and_then(lost));
    findings.extend(repeated(inputs, 1));
    let part = inputs.get(1).and_then(|images| images.get(fact::PART)).map(|part| part.value.clone());
    if options.choose_threshold && part.as_ref().and_then(|part| part.as_str()) == Some("test") {
        let message = "a threshold chosen on the test part makes its figures too good";
        findings.push(
            Finding::error(Place::Option("choose_threshold".into()), message)
                .help("choose it on a validation part, and give this stage `threshold: chosen`"),
        );
    }
    Checked { findings, ..Checked::default() }
}

/// An error where the samples at an input of an evaluator may come twice, or not at all: figures are of each sample once.
fn repeated(inputs: &[Facts], input: usize) -> Option<Finding> {
    let origin = inputs.get(input)?.get(fact::REPEATED)?;
    let (stage, option) = (&origin.stage, &origin.option);
    let message = format!("some samples would be measured twice and others not at all, by `{option}` of `{stage}`");
    let place = Place::Fact { input, name: fact::REPEATED.into() };
    Some(
        Finding::error(place, message)
            .help(format!("remove `{option}` there: a source that is measured emits each sample once")),
    )
}

struct Evaluate {
    options: Options,
    tiles: Option<Tiling>,
    own: Evaluator,
    seed: u64,
    epochs: u64,
    events: Arc<dyn Events>,
    /// What is known of the test batches.
    images: Facts,
    /// The classes that the test masks' labels stand for, if an upstream stage declares them.
    classes: Option<Classes>,
    /// The network, or those that predict together; none before the first step.
    networks: Vec<Shared>,
    /// How each image is turned.
    turns: Vec<Turn>,
    figures: Figures,
    /// Whether images are scored at the photographs' own size: asked for, and no stage has moved their pixels.
    native: bool,
    /// What is being scored; `None` between evaluations.
    pool: Option<Pool>,
    /// The threshold that this stage has chosen last.
    chosen: Option<f32>,
}

impl Evaluate {
    fn build(options: Options, cx: &BuildContext) -> Result<Self> {
        let _host = memory::enter(Side::Host);
        let images = cx.facts.last().cloned().unwrap_or_default();
        Ok(Self {
            native: options.at == At::Native && images.get(fact::ORIGINAL).is_some(),
            tiles: options.tiles.as_ref().map(|tiles| Tiling::of(tiles, steps_of(cx))).transpose()?,
            options,
            own: Evaluator::of(cx),
            seed: cx.seed,
            epochs: cx.epochs,
            events: cx.events.clone(),
            classes: Classes::of(&images),
            images,
            networks: Vec::new(),
            turns: turns("none"),
            figures: Figures::default(),
            pool: None,
            chosen: None,
        })
    }

    fn measure(&mut self, mut batch: Batch, epoch: u64) -> Result<()> {
        let none = || StageError::new("a test image came before the first step").help("needs: [the steps, the test batches]");
        let (kind, originals) = (batch.kind, std::mem::take(&mut batch.originals));
        let (batch, outputs, classes, chosen) = {
            let network = self.networks.first().ok_or_else(none)?;
            let (classes, threshold) = {
                let trainee = network.lock()?;
                (trainee.network.classes, trainee.threshold)
            };
            let batch = MicroBatch::of(batch, classes);
            batch.check_labels(0..batch.samples.len(), classes)?;
            let predicted = predict(&self.networks, &batch, self.tiles.as_ref(), &self.turns, (&*self.events, epoch))?;
            (batch, predicted, classes, threshold)
        };
        let Pixels::Bytes(images, _) = &batch.pixels else { return Ok(()) };
        // Figures and pictures are made on the host, and count as its memory.
        let _host = memory::enter(Side::Host);
        let (height, width) = (batch.height, batch.width);
        let area = height * width;
        let rules = Rules { threshold: self.options.threshold.value(chosen)?, curve: self.options.choose_threshold };
        let mut originals = originals.into_iter();
        for (at, (output, mask)) in outputs.into_iter().zip(batch.masks.chunks_exact(area)).enumerate() {
            let (sample, original) = (batch.samples[at].clone(), originals.next().flatten());
            if self.figures.predictions.len() < self.options.pictures {
                let predicted = Predicted::of(&output, classes);
                let image = &images[at * area * 3..(at + 1) * area * 3];
                self.figures.predictions.add(image, mask, &predicted, height, width);
                if self.options.tensors {
                    let probabilities = match predicted {
                        Predicted::Vessel(probabilities) => probabilities,
                        Predicted::Classes(_) => output.clone().probabilities(classes),
                    };
                    let (name, image, mask) = (sample.to_string(), image.to_vec(), mask.to_vec());
                    self.figures.tensors.push(Tensors { name, image, mask, probabilities, side: [height, width] });
                }
            }
            let mut truth = match original {
                Some(original) if self.native => {
                    let mut original = *original;
                    learn(&mut original.mask, kind, classes);
                    original
                }
                original => reduced(mask, original.as_deref(), [height, width]),
            };
            truth.inside = truth.inside.filter(|_| self.options.field_of_view);
            let pool = self.pool.get_or_insert_with(|| Pool::new(self.figures.measured.roc.take()));
            pool.start(Job { sample, output, classes, width, truth, rules })?;
        }
        Ok(())
    }

    /// Says in the model's card how this evaluator prepares and predicts images, if it is the one that the model goes by: that of the validation
    /// part, or the first.
    fn describe(&self) -> Result<()> {
        if !self.own.leads() {
            return Ok(());
        }
        let Some(network) = self.networks.first() else { return Ok(()) };
        if let Some(card) = &mut network.lock()?.card {
            card.prepare(&self.images);
            card.tiles = self.tiles.as_ref().map(Tiling::card);
            if let Threshold::Given(threshold) = self.options.threshold {
                card.threshold = threshold;
            }
        }
        Ok(())
    }

    /// Keeps in the model's card what was measured.
    fn note(&self, measured: &EvalEvent) -> Result<()> {
        let Some(network) = self.networks.first() else { return Ok(()) };
        if let Some(card) = &mut network.lock()?.card {
            card.note(measured);
            card.threshold = self.chosen.unwrap_or(card.threshold);
        }
        Ok(())
    }

    /// Waits for what is being scored.
    fn gather(&mut self) -> Result<()> {
        if let Some(pool) = self.pool.take() {
            let (images, roc) = pool.finish()?;
            self.figures.measured.images.extend(images);
            self.figures.measured.roc = Some(roc);
        }
        Ok(())
    }

    /// Writes and reports the figures of the images that were gathered.
    fn report(&mut self, epoch: u64) -> Result<()> {
        let Figures { measured, predictions, tensors } = std::mem::take(&mut self.figures);
        if measured.images.is_empty() {
            return Err(StageError::new("there is no test image to measure the network on").help("look at the test source"));
        }
        let best = measured.best_threshold();
        let (peak, classes, threshold) = match self.networks.first() {
            Some(network) => {
                let mut trainee = network.lock()?;
                let threshold = self.options.threshold.value(trainee.threshold)?;
                if let Some((best, _)) = best {
                    trainee.threshold = Some(best);
                    self.chosen = Some(best);
                }
                (trainee.memory().map(|(_, peak)| peak), trainee.network.classes, threshold)
            }
            None => (None, 1, DEFAULT_THRESHOLD),
        };
        let names = self.classes.clone().filter(|named| named.names.len() == classes);
        let names = (classes > 1).then(|| names.unwrap_or_else(|| Classes::unnamed(classes)));
        for image in worst_first(&measured.images) {
            self.events.record(table::event(&self.own.stage, epoch + 1, image, names.as_ref()).into());
        }
        let eval = EvalEvent {
            epoch: epoch + 1,
            stage: self.own.stage.clone(),
            part: self.own.part.clone(),
            metrics: METRICS.iter().map(|metric| metric.name).zip(measured.values()).collect(),
            classes: names.as_ref().map(|names| measured.by_class(names)).unwrap_or_default(),
            intervals: measured.intervals(self.seed),
            images: measured.images.len() as u64,
            both_empty: Some(measured.both_empty()),
            at: Some(if self.native { "native" } else { "training" }.to_owned()),
            threshold: (classes == 1).then(|| round(threshold)),
            chosen_threshold: best.map(|(threshold, _)| round(threshold)),
            chosen_dice: best.map(|(_, dice)| dice),
            device_bytes_peak: peak,
        };
        self.note(&eval)?;
        let eval = Event::from(eval);
        self.events.summarize(summary::EVAL, eval.fields().into());
        self.events.record(eval);
        table::write(&self.own.file("figures", "csv"), &measured.images, names.as_ref())?;
        if self.options.tensors {
            write_tensors(&self.own.file("predictions", "safetensors"), &tensors)?;
        }
        predictions.write(&self.own.file("predictions", "png"), names.as_ref())
    }
}

/// What is known of the training, where its steps come before the images.
fn steps_of(cx: &BuildContext) -> Option<&Facts> {
    cx.facts.first().filter(|_| cx.facts.len() > 1)
}

/// A threshold as a file would say it: 0.37 and not 0.3700000047683716.
fn round(threshold: f32) -> f64 {
    (f64::from(threshold) * 1e6).round() / 1e6
}

impl Sequential for Evaluate {
    type In = Either<Step, Batch>;
    type Out = Nothing;

    fn item(&mut self, input: Either<Step, Batch>, cx: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        match input {
            Either::First(step) if self.networks.is_empty() => {
                self.networks = vec![step.network];
                self.describe()?;
            }
            Either::First(_) => {}
            Either::Second(batch) if is_due(cx.epoch, self.options.every, self.epochs) => self.measure(batch, cx.epoch)?,
            Either::Second(_) => {}
        }
        Ok(())
    }

    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Nothing>) -> Result<()> {
        let _host = memory::enter(Side::Host);
        if !is_due(epoch, self.options.every, self.epochs) {
            return Ok(());
        }
        self.gather()?;
        self.report(epoch)
    }

    fn save(&mut self) -> Result<Saved> {
        let _host = memory::enter(Side::Host);
        self.gather()?;
        let mut saved = self.figures.save()?;
        if let Some(chosen) = self.chosen {
            saved.set("chosen", chosen)?;
        }
        Ok(saved)
    }

    fn restore(&mut self, mut saved: Saved, shelf: &mut Shelf) -> Result<()> {
        let _host = memory::enter(Side::Host);
        self.chosen = if saved.values.contains_key("chosen") { Some(saved.get("chosen")?) } else { None };
        (self.figures, self.networks) = (Figures::restore(&mut saved)?, shelf.find().into_iter().collect());
        self.describe()?;
        if let (Some(chosen), Some(network)) = (self.chosen, self.networks.first()) {
            let mut trainee = network.lock()?;
            trainee.threshold = Some(chosen);
            trainee.card.iter_mut().for_each(|card| card.threshold = chosen);
        }
        Ok(())
    }
}

/// The tiles in which an evaluator with these options and inputs predicts; `None` where it predicts whole images.
pub(crate) fn tiles(options: &serde_json::Value, inputs: &[Facts]) -> Option<Tiling> {
    Tiles::planned(options, inputs)
}
