//! `evaluate_model`: `evaluate` for models that are trained already. Needs no training in its file.

use pipeline_contract::events::summary;
use pipeline_contract::memory::{self, Side};
use pipeline_contract::{
    BuildContext, Checked, Facts, Finding, ItemContext, Nothing, Output, Place, Result, Role, Sequential, StageKind,
};
use pipeline_images::{Batch, Classes};
use serde::Deserialize;

use super::measured::METRICS;
use super::options::{self, At, DEFAULT_THRESHOLD, Options, Threshold};
use super::{Evaluate, held, repeated};
use crate::stages::masks::misfit;
use crate::stages::prediction::{self, Members, Tiles, channels, misfits, turns};

#[derive(Deserialize)]
struct OfModel {
    #[serde(flatten)]
    members: Members,
    at: At,
    tiles: Option<Tiles>,
    turns: String,
    threshold: Option<f32>,
    field_of_view: bool,
    pictures: usize,
    tensors: bool,
}

pub(in crate::stages) fn kind() -> StageKind {
    let kind = StageKind::device("evaluate_model", "measures trained models on images with masks", EvaluateModel::build);
    prediction::options(kind)
        .option(options::at())
        .option(options::field_of_view())
        .option(options::pictures())
        .option(options::tensors())
        .role(Role::Evaluator)
        .metrics(METRICS)
        .holds(|options, inputs| match inputs {
            [_] => held(options, inputs, channels(options)),
            _ => super::MOST_BYTES,
        })
        .check(check)
        .example("- {id: test, use: evaluate_model, needs: [test_batch], with: {models: [runs/fives/model.safetensors]}}")
}

/// Checks that the models can be read and that images and masks fit them.
fn check(options: &OfModel, inputs: &[Facts]) -> Checked {
    let images = inputs.first();
    let (networks, mut findings) = misfits(&options.members, options.tiles.as_ref(), images);
    let masks = images.and_then(Classes::of);
    for network in &networks {
        if let Some(misfit) = misfit(network.classes, masks.as_ref()) {
            let help = "measure it on masks of the classes that it was trained with: `labels` of decode";
            findings.push(Finding::error(Place::Option("models".into()), misfit.message).help(help));
        }
    }
    findings.dedup_by(|left, right| left.message == right.message);
    findings.extend(repeated(inputs, 0));
    Checked { findings, ..Checked::default() }
}

struct EvaluateModel(Evaluate);

impl EvaluateModel {
    fn build(options: OfModel, cx: &BuildContext) -> Result<Self> {
        let (networks, device) = options.members.open()?;
        cx.events.summarize(summary::DEVICE, device.into());
        let _host = memory::enter(Side::Host);
        let chosen = match (networks.first(), options.threshold) {
            (Some(network), None) => network.lock()?.card.as_ref().map(|card| card.threshold),
            (_, given) => given,
        };
        let (at, tiles, field_of_view) = (options.at, options.tiles, options.field_of_view);
        let threshold = Threshold::Given(chosen.unwrap_or(DEFAULT_THRESHOLD));
        let (pictures, tensors, turns) = (options.pictures, options.tensors, turns(&options.turns));
        let options = Options { at, every: 1, tiles, threshold, choose_threshold: false, field_of_view, pictures, tensors };
        Ok(Self(Evaluate { networks, turns, ..Evaluate::build(options, cx)? }))
    }
}

impl Sequential for EvaluateModel {
    type In = Batch;
    type Out = Nothing;

    fn item(&mut self, batch: Batch, cx: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.0.measure(batch, cx.epoch)
    }

    fn epoch_end(&mut self, epoch: u64, out: &mut Output<'_, Nothing>) -> Result<()> {
        self.0.epoch_end(epoch, out)
    }
}
