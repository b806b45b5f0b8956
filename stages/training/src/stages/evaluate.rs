//! `evaluate`: after the steps of an epoch, the figures of the network on test images, and pictures of the first few.
//! Batch norm uses its running statistics; nothing is trained here.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline_contract::events::{EvalEvent, summary};
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{
    BuildContext, Checked, Either, Event, Events, Facts, Finding, ItemContext, Join, Metric, Nothing, OptionSpec, OptionType,
    Output, Place, Result, Role, Saved, Sequential, Shelf, StageError, StageKind, fact,
};
use pipeline_images::Batch;
use serde::Deserialize;

use super::Step;
use super::figures::Figures;
use super::predictions::{Predicted, write_tensors};
use crate::metrics::Confusion;
use crate::micro_batch::{MicroBatch, Pixels};
use crate::trainee::Shared;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    threshold: f32,
    pictures: usize,
    tensors: bool,
}

/// What is measured, in the order of the figures.
const METRICS: [Metric; 7] = [
    Metric::max("dice").shown_as("dice"),
    Metric::max("dice_pooled"),
    Metric::max("iou"),
    Metric::max("sensitivity"),
    Metric::max("specificity"),
    Metric::max("accuracy"),
    Metric::max("auc").shown_as("AUC"),
];

pub(super) fn kind() -> StageKind {
    StageKind::device("evaluate", "measures the network on test images at the end of every epoch", Evaluate::build)
        .option(OptionSpec::new(
            "threshold",
            OptionType::Number { min: 0.0, max: 1.0 },
            0.5,
            "a pixel is vessel when its probability is above this",
        ))
        .option(
            OptionSpec::new(
                "pictures",
                OptionType::Integer { min: 0, max: 64 },
                4,
                "test images that are drawn with mask and prediction into predictions.png, from the first",
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

/// Test images must fit the network, whose stride `train_step` made known.
fn check(_: &Options, inputs: &[Facts]) -> Checked {
    let stride = inputs.first().and_then(|steps| steps.integer(fact::STRIDE)).unwrap_or(1).max(1);
    let size = |name: &'static str| inputs.get(1).and_then(|images| images.integer(name)).map(|size| (name, size));
    let finding = |(name, size): (&str, u64)| {
        let message = format!("test image {name} {size} is not divisible by {stride}, the network's stride");
        let (below, above) = (size / stride * stride, size.div_ceil(stride).max(1) * stride);
        let help = if below == 0 { format!("resize to {above}") } else { format!("resize to {below} or {above}") };
        Finding::error(Place::Fact { input: 1, name: name.into() }, message).help(help)
    };
    let sizes = [size(fact::HEIGHT), size(fact::WIDTH)].into_iter().flatten();
    let findings = sizes.filter(|(_, size)| !size.is_multiple_of(stride)).map(finding).collect();
    Checked { findings, ..Checked::default() }
}

struct Evaluate {
    options: Options,
    out: PathBuf,
    events: Arc<dyn Events>,
    network: Option<Shared>,
    figures: Figures,
}

impl Evaluate {
    fn build(options: Options, cx: &BuildContext) -> Result<Self> {
        let _host = memory::enter(Side::Host);
        let (out, events) = (cx.out.clone(), cx.events.clone());
        Ok(Self { options, out, events, network: None, figures: Figures::default() })
    }

    fn measure(&mut self, batch: Batch, epoch: u64) -> Result<()> {
        let none = || StageError::new("a test image came before the first step").help("needs: [the steps, the test batches]");
        let batch = MicroBatch::from(batch);
        let logits = {
            let mut trainee = self.network.as_ref().ok_or_else(none)?.lock()?;
            let predicted = trainee.predict(&batch);
            trainee.tell(&*self.events, epoch);
            predicted?
        };
        let Pixels::Bytes(images, _) = &batch.pixels else { return Ok(()) };
        // Figures and pictures are made on the device's thread, but of the host's memory.
        let _host = memory::enter(Side::Host);
        let area = batch.height * batch.width;
        for (at, (logits, mask)) in logits.chunks_exact(area).zip(batch.masks.chunks_exact(area)).enumerate() {
            let probabilities: Vec<f32> = logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect();
            let truth = || mask.iter().map(|&mask| mask != 0);
            let counts = Confusion::of(probabilities.iter().map(|&p| p > self.options.threshold).zip(truth()));
            self.figures.pooled.add(counts);
            self.figures.dice.add(&counts);
            logits.iter().zip(truth()).for_each(|(&logit, truth)| self.figures.roc.add(logit, truth));
            if self.figures.predictions.len() < self.options.pictures {
                let image = &images[at * area * 3..(at + 1) * area * 3];
                self.figures.predictions.add(image, mask, &probabilities, batch.height, batch.width);
                if self.options.tensors {
                    let name = batch.samples[at].to_string();
                    self.figures.tensors.push(Predicted {
                        name,
                        image: image.to_vec(),
                        mask: mask.to_vec(),
                        probabilities,
                        side: [batch.height, batch.width],
                    });
                }
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
        let Figures { pooled, dice, roc, predictions, tensors } = std::mem::take(&mut self.figures);
        let Some(mean) = dice.value() else {
            return Err(StageError::new("there is no test image to measure the network on").help("look at the test source"));
        };
        let peak = match &self.network {
            Some(network) => network.lock()?.memory().map(|(_, peak)| peak),
            None => None,
        };
        let values = [
            Some(mean),
            Some(pooled.dice()),
            pooled.iou(),
            pooled.sensitivity(),
            pooled.specificity(),
            pooled.accuracy(),
            roc.value(),
        ];
        let metrics = METRICS.iter().map(|metric| metric.name).zip(values).collect();
        let eval = Event::from(EvalEvent { epoch: epoch + 1, metrics, images: dice.images(), device_bytes_peak: peak });
        self.events.summarize(summary::EVAL, eval.fields().into());
        self.events.record(eval);
        if self.options.tensors {
            write_tensors(&self.out.join("predictions.safetensors"), &tensors)?;
        }
        predictions.write(&self.out.join("predictions.png"))
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
