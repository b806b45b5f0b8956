//! The parts of a pipeline file that determine the device memory: the network, the sizes that reach it, the policies.
//! They are read from the stages' checked options and facts; nothing is opened or run.

use pipeline_contract::{Facts, Result, Role, StageError, fact};
use serde_json::Value;

use crate::device::Platform;
use crate::forecast::{self, Demand, Forecast};
use crate::loss::Loss;
use crate::network::Network;
use crate::policy::Setting;
use crate::stages::{Tiling, optimizer_keeps, tiles, training};

/// One stage of a file, as a plan reads it.
#[derive(Debug, Clone, Copy)]
pub struct StageView<'a> {
    /// The stage's id.
    pub id: &'a str,
    /// Its role in the training.
    pub role: Option<Role>,
    /// Its options, with defaults filled in.
    pub options: &'a Value,
    /// The facts known at each of its inputs.
    pub facts: &'a [Facts],
}

/// The training that a file describes.
#[derive(Debug, Clone)]
pub struct Job {
    /// The network.
    pub network: Network,
    /// The loss that it is trained with.
    pub loss: Loss,
    /// The micro-batch: number of samples, height and width in pixels.
    pub micro_batch: (usize, usize, usize),
    /// Micro-batches of a window.
    pub steps: usize,
    /// The policies that the file sets.
    pub setting: Setting,
    /// float32 values that the optimizer keeps for each weight.
    pub optimizer: u64,
    /// True if the optimizer keeps a moving average of the weights.
    pub average: bool,
    /// The same three numbers for what the network sees of the test images at a time, if there are any: images, or tiles of them.
    pub evaluation: Option<(usize, usize, usize)>,
    /// True when test images are predicted in tiles, whose size doesn't depend on the images'.
    pub tiled: bool,
    /// The evaluators that predict tile by tile.
    pub tiles: Vec<Tiled>,
    /// True when an epoch leaves out a smaller last micro-batch.
    pub drops_last: bool,
    /// The device's name in the file.
    pub device: String,
    /// The `--set` keys of the settings that a fit may choose: micro-batch, accumulation, precision, checkpointing.
    pub keys: Keys,
}

/// An evaluator that predicts tile by tile.
#[derive(Debug, Clone, PartialEq)]
pub struct Tiled {
    /// Its id.
    pub stage: String,
    /// Its tiles.
    pub tiling: Tiling,
    /// Height and width in pixels of the images that reach it; `None` where they differ.
    pub image: Option<[usize; 2]>,
}

/// Where in the file the settings are, as `--set` keys; `None` where no option in the file determines a setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// Samples of a micro-batch.
    pub micro_batch: Option<String>,
    /// Micro-batches of a window.
    pub steps: Option<String>,
    /// The type that maps are stored in.
    pub precision: String,
    /// What the backward pass recomputes.
    pub checkpointing: String,
}

fn size(facts: &Facts, stage: &str) -> Result<(usize, usize, usize)> {
    let read = |name: &str| {
        facts.integer(name).and_then(|value| usize::try_from(value).ok()).ok_or_else(|| {
            StageError::new(format!("the {name} of the images at stage {stage} isn't known before the run"))
                .help("a `resize` stage makes all images of one size, a `batch` stage gathers them")
        })
    };
    // A batch holds no more samples than an epoch, if that number is known.
    let samples = facts.integer(fact::SAMPLES).map_or(usize::MAX, |samples| samples.max(1) as usize);
    Ok((read(fact::BATCH)?.min(samples), read(fact::HEIGHT)?, read(fact::WIDTH)?))
}

/// What the largest of the evaluations sees at a time, and whether that is a tile. `None` where it isn't known.
fn evaluation(stages: &[StageView<'_>]) -> (Option<(usize, usize, usize)>, bool) {
    let evaluators = stages.iter().filter(|stage| stage.role == Some(Role::Evaluator));
    let seen = evaluators.filter_map(|stage| match tiles(stage.options, stage.facts) {
        Some(Tiling { size: [height, width], batch, .. }) => Some(((batch, height, width), true)),
        None => Some((size(stage.facts.last()?, stage.id).ok()?, false)),
    });
    let pixels =
        |&((samples, height, width), _): &((usize, usize, usize), bool)| (samples as u128) * (height as u128) * (width as u128);
    seen.max_by_key(pixels).map_or((None, false), |(seen, tiled)| (Some(seen), tiled))
}

/// The evaluators that predict tile by tile.
fn tiled(stages: &[StageView<'_>]) -> Vec<Tiled> {
    let evaluators = stages.iter().filter(|stage| stage.role == Some(Role::Evaluator));
    let of = |stage: &StageView<'_>| {
        let side = |name| usize::try_from(stage.facts.get(1)?.integer(name)?).ok();
        let image = side(fact::HEIGHT).zip(side(fact::WIDTH)).map(|(height, width)| [height, width]);
        Some(Tiled { stage: stage.id.to_owned(), tiling: tiles(stage.options, stage.facts)?, image })
    };
    evaluators.filter_map(of).collect()
}

/// The `--set` key of the option that determined a fact.
fn key(facts: &Facts, name: &str) -> Option<String> {
    facts.get(name).map(|fact| format!("stages.{}.with.{}", fact.stage, fact.option))
}

impl Job {
    /// Finds the training among a file's stages.
    ///
    /// # Errors
    /// When there is no training, or the image sizes aren't known.
    pub fn of(stages: &[StageView<'_>]) -> Result<Self> {
        let find = |role| stages.iter().find(|stage| stage.role == Some(role));
        let train = find(Role::Trainer).ok_or_else(|| StageError::new("no stage of this file trains a network"))?;
        let facts = train.facts.first().cloned().unwrap_or_default();
        let (network, loss, setting, device) = training(train.options)?;
        let step = find(Role::Optimizer);
        let step_facts = step.and_then(|stage| stage.facts.first()).cloned().unwrap_or_default();
        let ((evaluation, tiled), tiled_by) = (evaluation(stages), tiled(stages));
        let micro_batch = size(&facts, train.id)?;
        let (optimizer, average) = step.map_or(Ok((0, false)), |stage| optimizer_keeps(stage.options))?;
        Ok(Self {
            network,
            loss,
            micro_batch,
            steps: step_facts.integer(fact::ACCUMULATION).map_or(1, |steps| steps as usize),
            setting,
            optimizer,
            average,
            evaluation,
            tiled,
            tiles: tiled_by,
            drops_last: facts.get(fact::DROP_LAST).is_some_and(|fact| fact.value == Value::Bool(true)),
            device,
            keys: Keys {
                micro_batch: key(&facts, fact::BATCH),
                steps: key(&step_facts, fact::ACCUMULATION),
                precision: format!("stages.{}.with.mixed_precision", train.id),
                checkpointing: format!("stages.{}.with.gradient_checkpointing", train.id),
            },
        })
    }

    /// Samples of a window.
    pub fn window(&self) -> usize {
        self.micro_batch.0.saturating_mul(self.steps)
    }

    /// True when splitting a batch would change the training, because a norm sees all samples that pass together.
    pub fn batch_matters(&self) -> bool {
        self.network.depends_on_batch()
    }

    /// True when another micro-batch size would train on different samples, or change what a norm sees.
    pub(super) fn micro_batch_is_pinned(&self) -> bool {
        self.drops_last || self.batch_matters()
    }

    /// The same training for a fit, with room for only one test image: if memory is refused, fewer are evaluated at a time.
    pub(super) fn squeezed(&self) -> Self {
        let evaluation = self.evaluation.map(|(_, height, width)| (1, height, width));
        Self { evaluation, ..self.clone() }
    }

    /// The same training with `samples` per micro-batch and other policies.
    #[must_use]
    pub fn with(&self, samples: usize, setting: Setting) -> Self {
        let (_, height, width) = self.micro_batch;
        let job = Self { micro_batch: (samples, height, width), setting, ..self.squeezed() };
        Self { steps: self.window() / samples.max(1), ..job }
    }

    /// Forecasts the device's memory and work under the given micro-batch and policies.
    ///
    /// # Errors
    /// When the images don't fit the network.
    pub fn forecast(&self, samples: usize, setting: Setting, platform: Platform) -> Result<Forecast> {
        forecast::forecast(&self.demand(samples, setting, platform))
    }

    /// Forecasts the memory and work of one evaluation pass over images of `(samples, height, width)`, with what the training holds beside it.
    ///
    /// # Errors
    /// When the images don't fit the network.
    pub fn evaluating(&self, images: (usize, usize, usize), setting: Setting, platform: Platform) -> Result<Forecast> {
        forecast::evaluation(&Demand { evaluation: Some(images), ..self.demand(1, setting, platform) })
    }

    fn demand(&self, samples: usize, setting: Setting, platform: Platform) -> Demand<'_> {
        let Self { network, loss, micro_batch: (_, height, width), optimizer, average, evaluation, .. } = self;
        Demand {
            network,
            micro_batch: (samples, *height, *width),
            setting,
            optimizer: *optimizer,
            average: *average,
            evaluation: *evaluation,
            loss,
            platform,
        }
    }
}
