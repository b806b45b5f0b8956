//! The options of `optimizer_step`: which optimizer, which schedule, and how many steps the run has.
//! Declares and checks the options, and turns them into a rule and a schedule.

use pipeline_contract::{
    BuildContext, Checked, Facts, Finding, OptionSpec, OptionType, Place, Result, StageError, StageKind, Variant, fact,
};
use serde::Deserialize;

use crate::optimizer::{Adam, Rule, Sgd};
use crate::schedule::{Schedule, Shape};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    adamw: Option<AdamOptions>,
    #[serde(default)]
    adam: Option<AdamOptions>,
    #[serde(default)]
    sgd: Option<SgdOptions>,
    schedule: ScheduleOptions,
    #[serde(default)]
    clip_norm: Option<f64>,
    #[serde(default)]
    ema: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdamOptions {
    lr: f64,
    betas: [f64; 2],
    eps: f64,
    weight_decay: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SgdOptions {
    lr: f64,
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ScheduleOptions {
    Constant {},
    Cosine {
        warmup_steps: u64,
        min_lr: f64,
        #[serde(default)]
        total_steps: Option<u64>,
    },
    Polynomial {
        power: f64,
        warmup_steps: u64,
        min_lr: f64,
        #[serde(default)]
        total_steps: Option<u64>,
    },
}

/// Adds the options and their check to the kind.
pub(super) fn declare(kind: StageKind) -> StageKind {
    let number = |min: f64| OptionType::Number { min, max: f64::INFINITY };
    let share = || OptionType::Number { min: 0.0, max: 0.999_999_999 };
    let adam = |decay: f64, how: &'static str| {
        OptionType::Group(vec![
            OptionSpec::new("lr", number(0.0), 0.001, "learning rate"),
            OptionSpec::new(
                "betas",
                OptionType::List { of: Box::new(share()), min: 2, max: 2 },
                serde_json::json!([0.9, 0.999]),
                "how much of the running means of gradient and squared gradient is kept",
            ),
            OptionSpec::new("eps", number(0.0), 1e-8, "added to the root of the mean square"),
            OptionSpec::new("weight_decay", number(0.0), decay, how),
        ])
    };
    let sgd = OptionType::Group(vec![
        OptionSpec::required("lr", number(0.0), "learning rate"),
        OptionSpec::new("momentum", share(), 0.0, "how much of the last direction is kept"),
        OptionSpec::new("weight_decay", number(0.0), 0.0, "this times the weight is added to the gradient"),
        OptionSpec::new("nesterov", OptionType::Bool, false, "looks ahead along the momentum"),
    ]);
    let warmup = || OptionSpec::new("warmup_steps", OptionType::at_least(0), 0, "steps in which the learning rate rises to lr");
    let least = || OptionSpec::new("min_lr", number(0.0), 0.0, "learning rate at the end");
    let total = || {
        let doc = "steps of the whole run; counted from samples, batch, accumulation and epochs where those are known";
        OptionSpec::optional("total_steps", OptionType::at_least(1), doc)
    };
    let schedules = vec![
        Variant::new("constant", "the same learning rate in every step"),
        Variant::new("cosine", "half a cosine from lr to min_lr").option(warmup()).option(least()).option(total()),
        Variant::new("polynomial", "(1 - t)^power from lr to min_lr")
            .option(OptionSpec::new("power", number(0.0), 0.9, "the exponent"))
            .option(warmup())
            .option(least())
            .option(total()),
    ];
    kind.option(
        OptionSpec::optional("adamw", adam(0.01, "this times lr is taken off the weight"), "AdamW, as in PyTorch").choice(),
    )
    .option(
        OptionSpec::optional("adam", adam(0.0, "this times the weight is added to the gradient"), "Adam, as in PyTorch")
            .choice(),
    )
    .option(OptionSpec::optional("sgd", sgd, "stochastic gradient descent, as in PyTorch").choice())
    .option(OptionSpec::new(
        "schedule",
        OptionType::Variant(schedules),
        serde_json::json!({"constant": {}}),
        "how the learning rate changes from step to step",
    ))
    .option(OptionSpec::optional("clip_norm", number(1e-12), "largest L2 norm of a window's gradient over all weights"))
    .option(
        OptionSpec::optional(
            "ema",
            share(),
            "evaluates and exports an exponential moving average of the weights with this decay, such as 0.999",
        )
        .choice(),
    )
    .check(check)
}

fn check(options: &Options, inputs: &[Facts]) -> Checked {
    let mut facts = inputs.first().cloned().unwrap_or_default();
    if !matches!(options.shape(), (Shape::Constant, _) | (_, Some(_))) {
        // Every step then depends on the length of the whole run.
        facts.set(fact::WHOLE_RUN, 1u64, "schedule");
    }
    let mut findings = Vec::new();
    if let Err(error) = options.rule() {
        let finding = Finding::error(Place::Stage, error.message());
        findings.push(error.mend().into_iter().fold(finding, Finding::help));
    }
    if let Some(sgd) = &options.sgd
        && sgd.nesterov
        && sgd.momentum == 0.0
    {
        findings.push(Finding::error(Place::Option("sgd.nesterov".into()), "nesterov needs a momentum").help("momentum: 0.9"));
    }
    Checked { facts, findings }
}

/// Steps in an epoch of `samples` samples: micro-batches of `batch` samples, windows of `accumulation` micro-batches, the
/// last of each possibly shorter.
fn steps_per_epoch(facts: &Facts, samples: u64) -> u64 {
    let (batch, window) =
        (facts.integer(fact::BATCH).unwrap_or(1).max(1), facts.integer(fact::ACCUMULATION).unwrap_or(1).max(1));
    samples.div_ceil(batch).div_ceil(window)
}

impl Options {
    /// The optimizer and its learning rate.
    pub(super) fn rule(&self) -> Result<(Rule, f64)> {
        let adam = |options: &AdamOptions, decoupled: bool| {
            let AdamOptions { lr, betas, eps, weight_decay } = *options;
            (Rule::Adam(Adam { betas, eps, weight_decay, decoupled }), lr)
        };
        let given = [
            self.adamw.as_ref().map(|options| adam(options, true)),
            self.adam.as_ref().map(|options| adam(options, false)),
            self.sgd.as_ref().map(|&SgdOptions { lr, momentum, weight_decay, nesterov }| {
                (Rule::Sgd(Sgd { momentum, weight_decay, nesterov }), lr)
            }),
        ];
        let mut given = given.into_iter().flatten();
        let error = |what: &str| StageError::new(format!("{what} optimizer is given")).help("give one of adamw, adam and sgd");
        match (given.next(), given.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(error("no")),
            (Some(_), Some(_)) => Err(error("more than one")),
        }
    }

    /// The largest norm allowed for a window's gradient.
    pub(super) fn clip_norm(&self) -> Option<f64> {
        self.clip_norm
    }

    /// The decay of the weights' moving average.
    pub(super) fn ema(&self) -> Option<f64> {
        self.ema
    }

    fn shape(&self) -> (Shape, Option<u64>) {
        match self.schedule {
            ScheduleOptions::Constant {} => (Shape::Constant, None),
            ScheduleOptions::Cosine { total_steps, .. } => (Shape::Cosine, total_steps),
            ScheduleOptions::Polynomial { power, total_steps, .. } => (Shape::Polynomial { power }, total_steps),
        }
    }

    /// The run's learning-rate schedule. Called when the first window arrives: by then the sources have reported how many
    /// samples an epoch has, which for a folder isn't known until it is listed.
    pub(super) fn schedule(&self, lr: f64, cx: &BuildContext) -> Result<Schedule> {
        let (shape, given) = self.shape();
        let (warmup_steps, min_lr) = match self.schedule {
            ScheduleOptions::Constant {} => (0, lr),
            ScheduleOptions::Cosine { warmup_steps, min_lr, .. } | ScheduleOptions::Polynomial { warmup_steps, min_lr, .. } => {
                (warmup_steps, min_lr)
            }
        };
        let facts = cx.facts.first().cloned().unwrap_or_default();
        let samples = || cx.samples.per_epoch().or_else(|| facts.integer(fact::SAMPLES));
        let counted = || samples().map(|samples| steps_per_epoch(&facts, samples).saturating_mul(cx.epochs));
        let total_steps = match (shape, given.or_else(counted)) {
            (Shape::Constant, _) => 0,
            (_, Some(total)) => total,
            (_, None) => {
                return Err(StageError::new(
                    "the schedule needs the number of steps, and the source doesn't say how many samples it has",
                )
                .help("give total_steps"));
            }
        };
        Ok(Schedule { shape, lr, min_lr, warmup_steps, total_steps })
    }
}
