//! What a window does to the weights: mean over its samples, norm, clipping, update. A float16 window that overflowed
//! changes nothing. Every reading from the device is gathered into one transfer per step.

use burn::tensor::Tensor;
use pipeline_contract::{Result, StageError};
use pipeline_kernels as kernels;

use super::{Adam, Sgd};
use crate::compute::{self, Engine, is_fused, read, squares, write};
use crate::memory::{Cause, Charge, Fault, Tried};
use crate::network::{State, zeros};
use crate::trainee::{Trainee, values};
use crate::window::Window;

/// How a weight follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam or AdamW.
    Adam(Adam),
}

impl Rule {
    /// How many float32 values the optimizer keeps for each weight.
    pub fn values_per_weight(&self) -> u64 {
        match self {
            Self::Adam(_) => 2,
            Self::Sgd(sgd) => u64::from(sgd.momentum != 0.0),
        }
    }
}

/// What an optimizer keeps for the weights, one tensor each, in the order of the trained tensors; made with the first step.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Adam's running means of the gradients, or SGD's buffers.
    pub first: Vec<Tensor<1>>,
    /// Adam's running means of their squares.
    pub second: Vec<Tensor<1>>,
    charge: Option<Charge>,
}

/// An optimizer with its state.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    clip_norm: Option<f64>,
    pub(super) memory: Memory,
    pub(super) steps: u64,
    pub(super) discarded: u64,
}

/// What a step measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The loss of each sample of the window, in order.
    pub losses: Vec<f32>,
    /// The L2 norm of the window's gradient over all weights, before clipping; not finite when it overflowed.
    pub grad_norm: f64,
    /// The loss scale that the window was made under.
    pub loss_scale: f64,
    /// True when the window overflowed in float16 and was discarded: the weights are as before.
    pub skipped: bool,
}

impl Figures {
    /// The mean loss over the window's samples.
    pub fn loss(&self) -> f64 {
        self.losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / self.losses.len().max(1) as f64
    }
}

impl Optimizer {
    /// An optimizer that has made no step. `clip_norm` is the largest L2 norm of a gradient, as in `clip_grad_norm_`.
    pub fn new(rule: Rule, clip_norm: Option<f64>) -> Self {
        Self { rule, clip_norm, memory: Memory::default(), steps: 0, discarded: 0 }
    }

    /// How many steps were made; discarded windows aren't steps.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How many windows were discarded because they overflowed.
    pub fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Makes one step with the mean gradient over the window's samples, and ends the window. Where float16 overflowed, the
    /// window is discarded instead, and the loss scale halved.
    ///
    /// # Errors
    /// When a loss or a gradient is not finite otherwise; the weights are as before then.
    pub fn step(&mut self, window: &Window, lr: f64) -> Result<Figures> {
        let samples = &window.samples;
        let mut guard = window.network.lock()?;
        let trainee = &mut *guard;
        let (losses, sum_norm) = loop {
            match measured(trainee) {
                Ok(measured) => break measured,
                // A device may tell only now that it had no memory for the window.
                Err(Fault::Memory(short)) => trainee.retry(short)?,
                Err(Fault::Failed(error)) => return Err(error),
            }
        };
        if losses.len() != samples.len() {
            let (held, named) = (losses.len(), samples.len());
            let message = format!("the open window holds {held} samples, not the {named} of this step");
            return Err(StageError::new(message).help("let one `accumulate` and one `optimizer_step` follow a `train_step`"));
        }
        let loss_scale = trainee.scale.scale();
        let grad_norm = sum_norm / (samples.len().max(1) as f64 * loss_scale);
        let finite = grad_norm.is_finite() && losses.iter().all(|loss| loss.is_finite());
        if !finite && trainee.scale.is_dynamic() {
            return self.discard(trainee, Figures { losses, grad_norm, loss_scale, skipped: true });
        }
        if !finite {
            return Err(trainee.not_finite(self.steps + 1, samples, losses));
        }
        // `clip_grad_norm_`, after unscaling: the factor is max_norm / (norm + 1e-6), at most 1.
        let clip = self.clip_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        self.update(trainee, clip / (samples.len() as f64 * loss_scale), lr)?;
        trainee.scale.passed();
        trainee.close()?;
        Ok(Figures { losses, grad_norm, loss_scale, skipped: false })
    }

    /// Goes through a step of a device that computes nothing: its work and its memory, without reading what came out.
    pub(crate) fn rehearse(&mut self, trainee: &mut Trainee) -> Result<()> {
        drop(figures(trainee)?);
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
        // A forward pass that overflowed has spoilt the running statistics of batch norm, so they are those of before.
        trainee.forget()?;
        Ok(figures)
    }

    fn update(&mut self, trainee: &mut Trainee, factor: f64, lr: f64) -> Result<()> {
        self.remember(trainee)?;
        self.steps += 1;
        let (step, rule) = (self.steps, self.rule);
        let Memory { first, second, .. } = &mut self.memory;
        let (state, gradients) = trainee.weights_and_gradients();
        match (state.engine(), rule) {
            (Engine::Kernels, Rule::Adam(adam)) => {
                let adam = adam.kernel(step, lr, factor);
                for (((weight, gradient), first), second) in state.trained.iter_mut().zip(gradients).zip(first).zip(second) {
                    write(weight, |weight| {
                        read(gradient, |gradient| {
                            write(first, |first| write(second, |second| kernels::adam(&adam, weight, gradient, first, second)))
                        })
                    })????;
                }
            }
            (Engine::Kernels, Rule::Sgd(sgd)) => {
                let sgd = sgd.kernel(step == 1, lr, factor);
                let mut buffers = first.iter_mut();
                for (weight, gradient) in state.trained.iter_mut().zip(gradients) {
                    write(weight, |weight| {
                        read(gradient, |gradient| match buffers.next() {
                            Some(buffer) => write(buffer, |buffer| kernels::sgd(&sgd, weight, gradient, Some(buffer))),
                            None => {
                                kernels::sgd(&sgd, weight, gradient, None);
                                Ok(())
                            }
                        })
                    })???;
                }
            }
            (Engine::Tensors, Rule::Adam(adam)) if is_fused(state.device()) => {
                let adam = adam.kernel(step, lr, factor);
                // Taken out, so that each is the only one of its tensor and is changed in place.
                let old = [&mut state.trained, &mut *first, &mut *second].map(std::mem::take);
                let [weights, firsts, seconds] = old.map(Vec::into_iter);
                for (((weight, gradient), mean), square) in weights.zip(gradients).zip(firsts).zip(seconds) {
                    let (weight, [mean, square]) = compute::adam(&adam, weight, gradient.clone(), [mean, square])?;
                    state.trained.push(weight);
                    first.push(mean);
                    second.push(square);
                }
            }
            (Engine::Tensors, rule) => portable(state, gradients, (first, second), (rule, step), (factor, lr)),
        }
        Ok(())
    }

    /// Makes the optimizer's memory before the first step.
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
        Ok(())
    }
}

/// A step by burn's tensors.
fn portable(
    state: &mut State,
    gradients: &[Tensor<1>],
    (first, second): (&mut [Tensor<1>], &mut [Tensor<1>]),
    (rule, step): (Rule, u64),
    (factor, lr): (f64, f64),
) {
    let (mut first, mut second) = (first.iter_mut(), second.iter_mut());
    for (weight, gradient) in state.trained.iter_mut().zip(gradients) {
        let gradient = gradient.clone() * factor;
        let (mut first, mut second) = (first.next(), second.next());
        weight.inplace(|weight| match (rule, &mut first, &mut second) {
            (Rule::Adam(adam), Some(first), Some(second)) => {
                let means = [(**first).clone(), (**second).clone()];
                let (weight, [moved, squared]) = adam.update(weight, gradient, means, step, lr);
                (**first, **second) = (moved, squared);
                weight
            }
            (Rule::Sgd(sgd), buffer, _) => {
                let (weight, moved) =
                    sgd.update(weight, gradient, buffer.as_ref().map(|buffer| (**buffer).clone()), step == 1, lr);
                if let (Some(buffer), Some(moved)) = (buffer, moved) {
                    **buffer = moved;
                }
                weight
            }
            (Rule::Adam(_), ..) => weight,
        });
    }
}

/// The losses of the samples and the squares of the sums of gradients, added up in part, one after the other, still on the device.
fn figures(trainee: &Trainee) -> Result<Tensor<1>> {
    let squares = squares(trainee.gradients())?;
    Ok(Tensor::cat(trainee.losses().iter().cloned().chain(squares).collect(), 0))
}

/// Losses of the samples and the L2 norm over all sums of gradients, in one transfer.
fn measured(trainee: &Trainee) -> Tried<(Vec<f32>, f64)> {
    let (ledger, losses, gradients) = (&trainee.ledger, trainee.losses(), trainee.gradients());
    if losses.is_empty() {
        return Ok((Vec::new(), 0.0));
    }
    if trainee.state.engine() == Engine::Kernels {
        let losses = values(ledger, Tensor::cat(losses.to_vec(), 0))?;
        let squares = gradients.iter().map(|gradient| read(gradient, kernels::sum_of_squares));
        return Ok((losses, squares.sum::<Result<f64>>()?.sqrt()));
    }
    let samples: usize = losses.iter().map(|losses| losses.dims()[0]).sum();
    let mut all = values(ledger, figures(trainee)?)?;
    let squares = all.split_off(samples.min(all.len()));
    Ok((all, squares.iter().map(|&square| f64::from(square)).sum::<f64>().sqrt()))
}
