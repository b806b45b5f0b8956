//! `evaluate`: after the steps of an epoch, measures the network on test images and draws the first few of them. Batch norm
//! uses its running statistics; nothing is trained here.

use std::sync::Arc;

use pipeline_contract::events::{EvalEvent, summary};
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{
    BuildContext, Checked, Either, Event, Events, Facts, Finding, ItemContext, Join, Nothing, OptionSpec, OptionType, Output,
    Place, Result, Role, Saved, Sequential, Shelf, StageError, StageKind, fact,
};
use pipeline_images::{Batch, Classes};
use serde::Deserialize;

use super::Step;
use super::evaluator::Evaluator;
use super::figures::Figures;
use super::masks::unlike_training;
use super::measured::{METRICS, Measured, Predicted};
use super::predictions::{Tensors, softmax, write_tensors};
use crate::micro_batch::{MicroBatch, Pixels};
use crate::trainee::Shared;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    threshold: f32,
    pictures: usize,
    tensors: bool,
}

const DEFAULT_THRESHOLD: f32 = 0.5;

pub(super) fn kind() -> StageKind {
    StageKind::device("evaluate", "measures the network on test images at the end of every epoch", Evaluate::build)
        .option(OptionSpec::new(
            "threshold",
            OptionType::Number { min: 0.0, max: 1.0 },
            DEFAULT_THRESHOLD,
            "a pixel is vessel if its probability exceeds this; with several classes the most probable class wins",
        ))
        .option(
            OptionSpec::new(
                "pictures",
                OptionType::Integer { min: 0, max: 64 },
                4,
                "test images that are drawn with mask and prediction into predictions.png, from the first; of a second evaluator predictions.ID.png",
            )
            .harmless(),
        )
        .option(
            OptionSpec::new(
                "tensors",
                OptionType::Bool,
                false,
                "also writes these images, their masks and probabilities as predictions.safetensors",
            )
            .harmless(),
        )
        .role(Role::Evaluator)
        .metrics(METRICS)
        .join(Join::InTurn)
        .check(check)
        .example("- {id: test, use: evaluate, needs: [clean, test_batch], with: {threshold: 0.5}}")
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
    let mut findings: Vec<Finding> = sizes.filter(|(_, size)| !size.is_multiple_of(stride)).map(finding).collect();
    if let [steps, images] = inputs
        && let Some(model) = steps.integer(fact::MODEL_CLASSES)
    {
        findings.extend(unlike_training(model as usize, steps, images));
        if model > 1 && options.threshold != DEFAULT_THRESHOLD {
            let message = format!("threshold does nothing with {model} classes: each pixel is of the most probable one");
            findings.push(Finding::error(Place::Option("threshold".into()), message).help("remove it"));
        }
    }
    Checked { findings, ..Checked::default() }
}

struct Evaluate {
    options: Options,
    own: Evaluator,
    events: Arc<dyn Events>,
    /// The classes that the test masks' labels stand for, if an upstream stage declares them.
    classes: Option<Classes>,
    network: Option<Shared>,
    figures: Figures,
}

impl Evaluate {
    fn build(options: Options, cx: &BuildContext) -> Result<Self> {
        let _host = memory::enter(Side::Host);
        let (own, events) = (Evaluator::of(cx), cx.events.clone());
        let classes = cx.facts.get(1).and_then(Classes::of);
        Ok(Self { options, own, events, classes, network: None, figures: Figures::default() })
    }

    fn measure(&mut self, batch: Batch, epoch: u64) -> Result<()> {
        let none = || StageError::new("a test image came before the first step").help("needs: [the steps, the test batches]");
        let (batch, logits, classes) = {
            let mut trainee = self.network.as_ref().ok_or_else(none)?.lock()?;
            let classes = trainee.network.classes;
            let batch = MicroBatch::of(batch, classes);
            batch.check_labels(0..batch.samples.len(), classes)?;
            let predicted = trainee.predict(&batch);
            trainee.tell(&*self.events, epoch);
            (batch, predicted?, classes)
        };
        let Pixels::Bytes(images, _) = &batch.pixels else { return Ok(()) };
        // Figures and pictures are made on the device's thread but count as host memory.
        let _host = memory::enter(Side::Host);
        let (height, width) = (batch.height, batch.width);
        let area = height * width;
        let measured = self.figures.measured.get_or_insert_with(|| Measured::new(classes));
        for (at, (logits, mask)) in logits.chunks_exact(classes * area).zip(batch.masks.chunks_exact(area)).enumerate() {
            let predicted = measured.add(logits, mask, self.options.threshold)?;
            if self.figures.predictions.len() >= self.options.pictures {
                continue;
            }
            let image = &images[at * area * 3..(at + 1) * area * 3];
            self.figures.predictions.add(image, mask, &predicted, height, width);
            if self.options.tensors {
                let probabilities = match predicted {
                    Predicted::Vessel(probabilities) => probabilities,
                    Predicted::Classes(_) => softmax(logits, classes),
                };
                let (name, image, mask) = (batch.samples[at].to_string(), image.to_vec(), mask.to_vec());
                self.figures.tensors.push(Tensors { name, image, mask, probabilities, side: [height, width] });
            }
        }
        Ok(())
    }
}

impl Sequential for Evaluate {
    type In = Either<Step, Batch>;
    type Out = Nothing;

    fn item(&mut self, input: Either<Step, Batch>, cx: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        match input {
            Either::First(step) => self.network = Some(step.network),
            Either::Second(batch) => self.measure(batch, cx.epoch)?,
        }
        Ok(())
    }

    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Nothing>) -> Result<()> {
        let _host = memory::enter(Side::Host);
        let Figures { measured, predictions, tensors } = std::mem::take(&mut self.figures);
        let Some(measured) = measured else {
            return Err(StageError::new("there is no test image to measure the network on").help("look at the test source"));
        };
        let (peak, classes) = match &self.network {
            Some(network) => {
                let trainee = network.lock()?;
                (trainee.memory().map(|(_, peak)| peak), trainee.network.classes)
            }
            None => (None, 1),
        };
        let names = self.classes.clone().filter(|named| named.names.len() == classes);
        let names = (classes > 1).then(|| names.unwrap_or_else(|| Classes::unnamed(classes)));
        let eval = Event::from(EvalEvent {
            epoch: epoch + 1,
            stage: self.own.stage.clone(),
            part: self.own.part.clone(),
            metrics: METRICS.iter().map(|metric| metric.name).zip(measured.values()).collect(),
            classes: names.as_ref().map(|names| measured.by_class(names)).unwrap_or_default(),
            images: measured.images(),
            device_bytes_peak: peak,
        });
        self.events.summarize(summary::EVAL, eval.fields().into());
        self.events.record(eval);
        if self.options.tensors {
            write_tensors(&self.own.file("safetensors"), &tensors)?;
        }
        predictions.write(&self.own.file("png"), names.as_ref())
    }

    fn save(&mut self) -> Result<Saved> {
        let _host = memory::enter(Side::Host);
        self.figures.save()
    }

    fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()> {
        let _host = memory::enter(Side::Host);
        (self.figures, self.network) = (Figures::restore(saved)?, shelf.find());
        Ok(())
    }
}
