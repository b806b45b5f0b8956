//! `train_step`: one forward and backward pass of the network over a micro-batch. It never changes weights.
//! It opens the device and creates the network, which the later stages on the device's thread share.

use std::path::PathBuf;

use pipeline_contract::events::summary;
use pipeline_contract::{
    BuildContext, Checked, Facts, Finding, ItemContext, OptionSpec, OptionType, Output, Place, Result, Role, Saved, Sequential,
    Shelf, StageError, StageKind, fact,
};
use pipeline_images::{Batch, Classes};
use serde::Deserialize;
use serde_json::Value;

use super::device_options;
use super::masks::misfit;
use super::own;
use crate::loss::{self, Loss};
use crate::memory::Ledger;
use crate::micro_batch::MicroBatch;
use crate::model::Card;
use crate::network::{Checkpointing, Network};
use crate::networks;
use crate::parameters::State;
use crate::policy::{LossScale, Setting};
use crate::precision::Precision;
use crate::trainee::{Shared, Trainee};
use crate::window::Gradients;
use crate::{device, model};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    model: Value,
    loss: Value,
    device: String,
    mixed_precision: String,
    float32_matmul: String,
    gradient_checkpointing: String,
    loss_scale: f64,
    memory_budget: u64,
    memory_pool: String,
    #[serde(default)]
    init: Option<PathBuf>,
}

pub(super) fn kind() -> StageKind {
    StageKind::device("train_step", "computes loss and gradients of a micro-batch", TrainStep::build)
        .option(
            OptionSpec::new(
                "model",
                OptionType::Variant(networks::variants()),
                networks::standard(),
                "the network: its name, with its options",
            )
            .fixed(),
        )
        .option(OptionSpec::new(
            "loss",
            loss::kind(),
            "bce_dice",
            "a name, or terms with weights such as {bce: 1, dice: 1}; the mean over a window's samples is taken",
        ))
        .option(device_options::device())
        .option(device_options::precision(
            "precision of the maps, and of convolutions where the device has matrix units; fp16 has a dynamic loss scale",
        ))
        .option(device_options::products())
        .option(OptionSpec::from_key(
            "gradient_checkpointing",
            OptionType::Choice(Checkpointing::NAMES),
            "trainer.gradient_checkpointing",
            "none",
            "what the backward pass recomputes instead of storing: nothing, the inside of each block, or all it can",
        ))
        .option(
            OptionSpec::from_key(
                "loss_scale",
                OptionType::Number { min: 1.0, max: 1.1e12 },
                "trainer.loss_scale",
                LossScale::START,
                "where fp16's dynamic loss scale starts",
            )
            .harmless(),
        )
        .option(
            OptionSpec::from_key(
                "memory_budget",
                OptionType::Bytes,
                "trainer.memory_budget",
                0,
                "device memory limit; beyond it allocations are refused and a smaller setting is used; 0: no limit",
            )
            .limit(),
        )
        .option(device_options::memory_pool().harmless())
        .option(
            OptionSpec::optional(
                "init",
                OptionType::Path,
                "a model or a checkpoint of the same network to start from, a .safetensors",
            )
            .harmless(),
        )
        .role(Role::Trainer)
        .check(check)
        .example("- {id: train, use: train_step, with: {model: {unet: {base: 32, depth: 5, norm: group}}, loss: bce_dice}}")
}

fn check(options: &Options, inputs: &[Facts]) -> Checked {
    let mut facts = inputs.first().cloned().unwrap_or_default();
    let (height, width, batch) = (facts.integer(fact::HEIGHT), facts.integer(fact::WIDTH), facts.integer(fact::BATCH));
    let mut findings = Vec::new();
    let option = |name: &str| Place::Option(name.into());
    if !device::is_name(&options.device) {
        let message = format!("there is no device named {:?}", options.device);
        findings.push(Finding::error(option("device"), message).help(format!("one of {}", device::NAMES)));
    }
    // The network's name is the key; its options are nested under it.
    let name = options.model.as_object().and_then(|model| model.keys().next()).cloned().unwrap_or_default();
    match networks::build(&options.model) {
        Err(error) => findings.push(helped(Finding::error(option(&format!("model.{name}")), error.message()), error.mend())),
        Ok(network) => {
            let masks = Classes::of(&facts);
            let misfit = misfit(network.classes, masks.as_ref());
            let suits_masks = masks.is_some_and(|masks| loss::parse(&options.loss, masks.names.len()).is_ok());
            // If the model doesn't suit the masks but the loss does, only the model is reported.
            if let Err(error) = loss::parse(&options.loss, network.classes)
                && !(misfit.is_some() && suits_masks)
            {
                findings.push(helped(Finding::error(option("loss"), error.message()), error.mend()));
            }
            if let Some(misfit) = misfit {
                let place = option(&format!("model.{name}.classes"));
                findings.push(Finding::error(place, misfit.message).help(misfit.help));
            }
            // `evaluate` checks its test images against these facts.
            facts.set(fact::MODEL_CLASSES, network.classes, &format!("model.{name}.classes"));
            facts.set(fact::STRIDE, network.stride as u64, "model");
            // Check each side separately, so that both are reported and each finding points at the option that determined
            // it.
            let fits = |height: usize, width: usize| network.accepts(batch.map_or(2, |b| b as usize), height, width).err();
            let (tall, stride) = (1 << 20, network.stride);
            let mut sides =
                [(fact::HEIGHT, height.map(|h| (h as usize, tall))), (fact::WIDTH, width.map(|w| (tall, w as usize)))]
                    .into_iter()
                    .filter_map(|(name, sizes)| sizes.and_then(|(h, w)| fits(h, w)).map(|error| (name, error)))
                    .collect::<Vec<_>>();
            let square = matches!((height, width), (Some(h), Some(w)) if h as usize == stride && w as usize == stride);
            if sides.is_empty() && square {
                sides.extend(fits(stride, stride).map(|error| (fact::HEIGHT, error)));
            }
            for (name, error) in sides {
                let place = Place::Fact { input: 0, name: name.into() };
                findings.push(helped(Finding::error(place, error.message()), error.mend()));
            }
            if network.depends_on_batch() {
                // `accumulate` checks its steps against this fact.
                facts.set(fact::BATCH_NORM, 1u64, &format!("model.{name}.norm"));
                if batch == Some(1) {
                    let message = "batch norm sees one image at a time: accumulation doesn't make its batch larger";
                    findings.push(Finding::warning(option(&format!("model.{name}.norm")), message).help(ALTERNATIVE));
                }
            }
        }
    }
    Checked { facts, findings }
}

/// The help text that suggests an alternative to batch norm.
pub(super) const ALTERNATIVE: &str = "norm: group gives the same gradients with and without accumulation";

fn helped(finding: Finding, help: Option<&str>) -> Finding {
    match help {
        Some(help) => finding.help(help),
        None => finding,
    }
}

struct TrainStep {
    network: Shared,
    cx: BuildContext,
}

impl Options {
    fn setting(&self) -> Result<Setting> {
        let unknown = |what: &str, name: &str| StageError::new(format!("there is no {what} named {name:?}"));
        let precision = Precision::named(&self.mixed_precision);
        let checkpointing = Checkpointing::named(&self.gradient_checkpointing);
        let precision = precision.ok_or_else(|| unknown("precision", &self.mixed_precision))?;
        Ok(Setting {
            precision: precision.with_products(&self.float32_matmul),
            checkpointing: checkpointing.ok_or_else(|| unknown("checkpointing", &self.gradient_checkpointing))?,
            samples: usize::MAX,
        })
    }
}

/// Parses this kind's options out of a trainer's, which may have more.
fn parse(options: &Value) -> Result<Options> {
    let misfit = |error| StageError::new(format!("the trainer's options aren't those that `train_step` declares: {error}"));
    serde_json::from_value(own(options, &kind().options)).map_err(misfit)
}

/// For a comparison: the loss and the file of initial weights in a trainer's options.
pub(crate) fn loss_and_init(options: &Value) -> Result<(Loss, Option<PathBuf>)> {
    let options = parse(options)?;
    let classes = networks::build(&options.model)?.classes;
    Ok((loss::parse(&options.loss, classes)?, options.init))
}

/// For a plan: the network, the loss, the policies and the device's name in a trainer's options. This also sets the device's
/// memory pool, since a plan may open the device before the run does.
pub(crate) fn training(options: &Value) -> Result<(Network, Loss, Setting, String)> {
    let options = parse(options)?;
    device::set_memory_pool(&options.device, &options.memory_pool)?;
    let network = networks::build(&options.model)?;
    let loss = loss::parse(&options.loss, network.classes)?;
    Ok((network, loss, options.setting()?, options.device))
}

impl TrainStep {
    fn build(options: Options, cx: &BuildContext) -> Result<Self> {
        let network = networks::build(&options.model)?;
        let loss = loss::parse(&options.loss, network.classes)?;
        let setting = options.setting()?;
        device::set_memory_pool(&options.device, &options.memory_pool)?;
        let opened = device::open(&options.device)?;
        device::supports(&opened, setting.precision)?;
        let state = match &options.init {
            Some(path) => model::load(&network, path, &opened.device)?,
            None => State::fresh(&network.layout, &opened.device, |name| cx.rng(0, &format!("weights {name}")))?,
        };
        tracing::info!("device: {}", opened.description);
        cx.events.summarize(summary::DEVICE, opened.description.into());
        cx.events.summarize(summary::PARAMETERS, network.layout.parameters().into());
        let ledger = Ledger::default();
        ledger.set_limit(Some(options.memory_budget).filter(|&bytes| bytes > 0));
        ledger.refuse_in(refusal());
        let mut card = Card::of_training(options.model, network.classes, setting.precision.name(), &first(cx));
        card.comes_from(&cx.pipeline, cx.seed);
        let mut trainee = Trainee::new(network, state, loss, setting, ledger)?;
        trainee.card = Some(card);
        trainee.scale = LossScale::new(setting.precision, options.loss_scale);
        Ok(Self { network: Shared::new(trainee), cx: cx.clone() })
    }
}

/// What is known of a trainer's micro-batches.
fn first(cx: &BuildContext) -> Facts {
    cx.facts.first().cloned().unwrap_or_default()
}

/// Lets tests run out of memory: the number of charges before a refusal, from the environment variable
/// `PIPELINE_REFUSE_MEMORY_IN`.
fn refusal() -> Option<u64> {
    std::env::var("PIPELINE_REFUSE_MEMORY_IN").ok()?.parse().ok()
}

impl Sequential for TrainStep {
    type In = Batch;
    type Out = Gradients;

    fn item(&mut self, input: Batch, cx: &ItemContext<'_>, out: &mut Output<'_, Gradients>) -> Result<()> {
        let samples = input.samples.clone();
        let mut trainee = self.network.lock()?;
        let batch = MicroBatch::of(input, trainee.network.classes);
        let added = trainee.add_or_retry(batch);
        trainee.tell(&*self.cx.events, cx.epoch);
        drop(trainee);
        added?;
        out.emit(cx.sample, Gradients { samples, network: self.network.clone() })
    }

    fn save(&mut self) -> Result<Saved> {
        self.network.lock()?.save()
    }

    /// Leaves the network for the stages after this one.
    fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()> {
        self.network.lock()?.restore(saved)?;
        shelf.leave(self.network.clone());
        Ok(())
    }
}
