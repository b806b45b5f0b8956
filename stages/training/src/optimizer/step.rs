//! The optimizer step for a window: mean over its samples, norm, clipping, update. A float16 window that overflowed changes
//! nothing. Everything read from the device goes through one transfer per step.

use burn::tensor::Tensor;
use pipeline_contract::{Result, StageError};

use super::average::share;
use super::{Adam, Sgd};
use crate::backend::{self, Update};
use crate::memory::{Cause, Charge};
use crate::parameters::zeros;
use crate::trainee::{Reduction, Trainee};
use crate::window::Window;

/// The update rule: how a weight follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam or AdamW.
    Adam(Adam),
}

impl Rule {
    /// The parameters of step number `step`, from 1; gradients are multiplied by `factor` first.
    fn at(&self, step: u64, lr: f64, factor: f64) -> backend::Rule {
        match self {
            Self::Adam(adam) => backend::Rule::Adam(adam.at(step, lr, factor)),
            Self::Sgd(sgd) => backend::Rule::Sgd(sgd.at(step == 1, lr, factor)),
        }
    }

    /// The number of float32 values that the optimizer keeps for each weight.
    pub fn values_per_weight(&self) -> u64 {
        match self {
            Self::Adam(_) => 2,
            Self::Sgd(sgd) => u64::from(sgd.momentum != 0.0),
        }
    }
}

/// The optimizer's state: one tensor for each trained tensor, in the same order; allocated at the first step.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Adam's running means of the gradients, or SGD's momentum buffers.
    pub first: Vec<Tensor<1>>,
    /// Adam's running means of the squared gradients.
    pub second: Vec<Tensor<1>>,
    charge: Option<Charge>,
}

/// An optimizer with its state.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    clip_norm: Option<f64>,
    /// The largest decay of the weights' moving average; `None` if none is kept.
    pub(super) ema: Option<f64>,
    pub(super) memory: Memory,
    pub(super) steps: u64,
    pub(super) discarded: u64,
}

/// The figures of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The loss of each sample of the window, in order.
    pub losses: Vec<f32>,
    /// The L2 norm of the window's gradient over all weights, before clipping; not finite when it overflowed.
    pub grad_norm: f64,
    /// The loss scale used for the window.
    pub loss_scale: f64,
    /// True when the window overflowed in float16 and was discarded: the weights are unchanged.
    pub skipped: bool,
}

impl Figures {
    /// The mean loss over the window's samples.
    pub fn loss(&self) -> f64 {
        self.losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / self.losses.len().max(1) as f64
    }
}

impl Optimizer {
    /// An optimizer that hasn't taken a step yet. `clip_norm` is the largest L2 norm of a gradient, as in `clip_grad_norm_`.
    pub fn new(rule: Rule, clip_norm: Option<f64>) -> Self {
        Self { rule, clip_norm, ema: None, memory: Memory::default(), steps: 0, discarded: 0 }
    }

    /// The same, and after each step it updates an exponential moving average of the weights in the trainee, with a decay of at
    /// most this; with `None` there is no average. Training doesn't change by it.
    #[must_use]
    pub fn averaging(mut self, decay: Option<f64>) -> Self {
        self.ema = decay;
        self
    }

    /// The number of steps taken; discarded windows don't count.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The number of windows discarded because they overflowed.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Takes one step with the mean gradient over the window's samples, and ends the window. If float16 overflowed, the
    /// window is discarded instead and the loss scale is halved.
    ///
    /// # Errors
    /// When a loss or a gradient is not finite for any other reason; the weights are then unchanged.
    pub fn step(&mut self, window: &Window, lr: f64) -> Result<Figures> {
        let samples = &window.samples;
        let mut guard = window.network.lock()?;
        let trainee = &mut *guard;
        let Reduction { losses, divisor, norm, loss_scale, finite } = trainee.reduce(samples.len())?;
        if !finite && trainee.scale.is_dynamic() {
            return self.discard(trainee, Figures { losses, grad_norm: norm, loss_scale, skipped: true });
        }
        if !finite {
            return Err(trainee.not_finite(self.steps + 1, samples, losses));
        }
        // `clip_grad_norm_`, after unscaling: the factor is max_norm / (norm + 1e-6), at most 1.
        let clip = self.clip_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        self.update(trainee, clip / divisor, lr)?;
        trainee.scale.passed();
        trainee.close()?;
        Ok(Figures { losses, grad_norm: norm, loss_scale, skipped: false })
    }

    /// Goes through a step on a device in a dry run: requests its kernels and memory, but doesn't read the results.
    pub(crate) fn rehearse(&mut self, trainee: &mut Trainee) -> Result<()> {
        backend::of(trainee.state.device()).rehearse_measure(trainee.losses(), trainee.gradients())?;
        self.update(trainee, 1.0, 0.0)?;
        trainee.close()
    }

    fn discard(&mut self, trainee: &mut Trainee, figures: Figures) -> Result<Figures> {
        self.discarded += 1;
        if !trainee.scale.overflowed() {
            let scale = figures.loss_scale;
            let message = format!("float16 overflows in step {} even at a loss scale of {scale}", self.steps + 1);
            return Err(StageError::new(message).help("mixed_precision: bf16 or no; otherwise a smaller lr, or clip_norm: 1"));
        }
        // A forward pass that overflowed has corrupted batch norm's running statistics, so the ones from before the window
        // are restored.
        trainee.forget()?;
        Ok(figures)
    }

    fn update(&mut self, trainee: &mut Trainee, factor: f64, lr: f64) -> Result<()> {
        self.remember(trainee)?;
        self.steps += 1;
        let rule = self.rule.at(self.steps, lr, factor);
        let Memory { first, second, .. } = &mut self.memory;
        let (state, gradients) = trainee.weights_and_gradients();
        let runtime = backend::of(state.device());
        runtime.update(&rule, Update { weights: &mut state.trained, gradients, first, second })?;
        match self.ema {
            Some(decay) => trainee.move_average(share(decay, self.steps - 1)),
            None => Ok(()),
        }
    }

    /// Allocates the optimizer's state before the first step, and the average, which starts as the initial weights.
    pub(super) fn remember(&mut self, trainee: &mut Trainee) -> Result<()> {
        if self.memory.charge.is_some() {
            return Ok(());
        }
        let values = self.rule.values_per_weight();
        let charge = trainee.reserve(Cause::Optimizer, 4 * values * trainee.parameters())?;
        let make = || zeros(&trainee.state.trained, trainee.state.device());
        self.memory.first = if values > 0 { make() } else { Vec::new() };
        self.memory.second = if values > 1 { make() } else { Vec::new() };
        self.memory.charge = Some(charge);
        if self.ema.is_some() { trainee.start_average() } else { Ok(()) }
    }
}
