//! `optimizer_step`: one step of the optimizer per window, and the figures of steps and epochs.
//! The arithmetic is in `optimizer` and `schedule`; the file's options are in `rules`.

use std::time::Instant;

use pipeline_contract::events::{EpochEvent, StepEvent, summary};
use pipeline_contract::{
    BuildContext, End, ItemContext, Output, Result, Role, Saved, Sequential, Shelf, StageError, StageKind,
};

use super::rules::{self, Options};
use super::{Step, own};
use crate::optimizer::Optimizer;
use crate::schedule::Schedule;
use crate::trainee::Shared;
use crate::window::Window;

pub(super) fn kind() -> StageKind {
    rules::declare(StageKind::device(
        "optimizer_step",
        "changes the weights once per window, by the mean gradient over its samples",
        OptimizerStep::build,
    ))
    .role(Role::Optimizer)
    .may_end()
    .example("- {id: optim, use: optimizer_step, with: {adamw: {lr: 0.001, weight_decay: 0.01}, clip_norm: 1.0}}")
}

/// For a plan: the number of values that an optimizer with these options keeps for each weight, and whether it keeps an average
/// of the weights.
pub(crate) fn optimizer_keeps(options: &serde_json::Value) -> Result<(u64, bool)> {
    let misfit =
        |error| StageError::new(format!("the optimizer's options aren't those that `optimizer_step` declares: {error}"));
    let options: Options = serde_json::from_value(own(options, &kind().options)).map_err(misfit)?;
    Ok((options.rule()?.0.values_per_weight(), options.ema().is_some()))
}

struct OptimizerStep {
    options: Options,
    lr: f64,
    optimizer: Optimizer,
    /// Created with the first window.
    schedule: Option<Schedule>,
    cx: BuildContext,
    samples: u64,
    epoch: Epoch,
    /// Known once a window has come.
    network: Option<Shared>,
}

/// The sums gathered over an epoch.
struct Epoch {
    started: Instant,
    /// Seconds of this epoch that passed before the run was stopped and resumed.
    before: f64,
    loss: f64,
    samples: u64,
    /// Whether a window has come, also one that was discarded, or may have come before the run was resumed.
    trained: bool,
}

impl Epoch {
    fn start() -> Self {
        Self { started: Instant::now(), before: 0.0, loss: 0.0, samples: 0, trained: false }
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }
}

impl OptimizerStep {
    fn build(options: Options, cx: &BuildContext) -> Result<Self> {
        let (rule, lr) = options.rule()?;
        let optimizer = Optimizer::new(rule, options.clip_norm()).averaging(options.ema());
        let cx = cx.clone();
        Ok(Self { options, lr, optimizer, schedule: None, cx, samples: 0, epoch: Epoch::start(), network: None })
    }
}

impl Sequential for OptimizerStep {
    type In = Window;
    type Out = Step;

    fn item(&mut self, input: Window, cx: &ItemContext<'_>, out: &mut Output<'_, Step>) -> Result<()> {
        let (network, count) = (input.network.clone(), input.samples.len() as u64);
        self.network = Some(network.clone());
        let schedule = match self.schedule {
            Some(schedule) => schedule,
            None => *self.schedule.insert(self.options.schedule(self.lr, &self.cx)?),
        };
        let lr = schedule.at(self.optimizer.steps());
        let stepped = self.optimizer.step(&input, lr);
        network.lock()?.tell(&*self.cx.events, cx.epoch);
        let figures = stepped?;
        // A discarded window carries the number of the step that it would have been.
        let (loss, number) = (figures.loss(), self.optimizer.steps() + u64::from(figures.skipped));
        self.samples += count;
        self.epoch.trained = true;
        if !figures.skipped {
            self.epoch.samples += count;
            self.epoch.loss += loss * count as f64;
        }
        let (memory, held, peak) = {
            let trainee = network.lock()?;
            (trainee.memory(), trainee.ledger.now(), trainee.ledger.peak())
        };
        let step = StepEvent {
            epoch: cx.epoch + 1,
            step: number,
            samples: self.samples,
            loss: finite(loss),
            lr,
            grad_norm: finite(figures.grad_norm),
            loss_scale: figures.loss_scale,
            skipped: figures.skipped,
            device_bytes: memory.map(|(in_use, _)| in_use),
            device_bytes_peak: memory.map(|(_, peak)| peak),
            device_by_cause: held.by_cause(),
            device_peak_by_cause: peak.by_cause(),
            device_peak_place: peak.place,
            ..StepEvent::default()
        };
        self.cx.events.record(step.into());
        out.emit(cx.sample, Step { number, loss, network })
    }

    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Step>) -> Result<()> {
        let done = std::mem::replace(&mut self.epoch, Epoch::start());
        let (seconds, Epoch { loss, samples, trained, .. }) = (done.seconds(), done);
        if !trained {
            return Err(StageError::new(format!("nothing was trained in epoch {}: no micro-batch came", epoch + 1)).help(
                "an epoch needs one at least, and `drop_last` drops one that isn't full: lower the `size` of the batch stage",
            ));
        }
        let epoch = EpochEvent {
            epoch: epoch + 1,
            loss: (samples > 0).then(|| loss / samples as f64),
            seconds_in_epoch: seconds,
            samples_per_second: samples as f64 / seconds.max(f64::MIN_POSITIVE),
        };
        self.cx.events.record(epoch.into());
        Ok(())
    }

    fn finish(&mut self, end: End) -> Result<()> {
        if end == End::Complete && self.optimizer.steps() == 0 && self.optimizer.discarded() > 0 {
            let windows = self.optimizer.discarded();
            return Err(StageError::new(format!("the run made no step: all of its windows ({windows}) overflowed"))
                .help("train longer, so that the loss scale can fall; or set `mixed_precision` to bf16 or no"));
        }
        self.cx.events.summarize(summary::STEPS, self.optimizer.steps().into());
        self.cx.events.summarize(summary::SAMPLES, self.samples.into());
        self.cx.events.summarize(summary::SKIPPED_WINDOWS, self.optimizer.discarded().into());
        Ok(())
    }

    fn save(&mut self) -> Result<Saved> {
        let mut saved = Saved::default();
        // Before the first window there is nothing to save that the file doesn't already say.
        if let Some(network) = &self.network {
            self.optimizer.save(&mut saved, &*network.lock()?)?;
            saved.set("samples", self.samples)?;
            saved.set("epoch_samples", self.epoch.samples)?;
            saved.set_float("epoch_loss", self.epoch.loss);
            saved.set_float("epoch_seconds", self.epoch.seconds());
        }
        Ok(saved)
    }

    fn restore(&mut self, mut saved: Saved, shelf: &mut Shelf) -> Result<()> {
        if saved.values.is_empty() {
            return Ok(());
        }
        let network: Shared =
            shelf.find().ok_or_else(|| StageError::new("the checkpoint has an optimizer's state but no network"))?;
        self.optimizer.restore(&mut saved, &mut *network.lock()?)?;
        self.samples = saved.count("samples")?;
        let (loss, before) = (saved.get_float("epoch_loss")?, saved.get_float("epoch_seconds")?);
        self.epoch = Epoch { before, loss, samples: saved.count("epoch_samples")?, trained: true, ..Epoch::start() };
        self.network = Some(network);
        Ok(())
    }
}

/// JSON has no infinity, so an overflow becomes null.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
