//! What a window does to the weights: mean over its samples, norm, clipping, update.
//! Every reading from the device is gathered into one transfer per step.

use burn::tensor::Tensor;
use pipeline_contract::{Result, StageError};

use super::adam::Means;
use super::{Adam, Sgd};
use crate::window::Window;

/// How a weight follows its gradient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam or AdamW.
    Adam(Adam),
}

/// The state of one tensor.
#[derive(Debug, Clone, Default)]
struct Slot {
    momentum: Option<Tensor<1>>,
    means: Option<Means>,
}

/// An optimizer with its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    rule: Rule,
    clip_norm: Option<f64>,
    slots: Vec<Slot>,
    steps: u64,
}

/// What a step measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The loss of each sample of the window, in order.
    pub losses: Vec<f32>,
    /// The L2 norm of the window's gradient over all weights, before clipping.
    pub grad_norm: f64,
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
        Self { rule, clip_norm, slots: Vec::new(), steps: 0 }
    }

    /// How many steps were made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Makes one step with the mean gradient over the window's samples.
    ///
    /// # Errors
    /// When a loss or a gradient is not finite; the weights are as before then.
    pub fn step(&mut self, window: Window, lr: f64) -> Result<Figures> {
        let Window { gradients, losses, samples, network, .. } = window;
        let count = samples.len();
        let (losses, sum_norm) = read(losses, &gradients)?;
        if let Some(at) = losses.iter().position(|loss| !loss.is_finite()) {
            let sample = samples.get(at).map_or("?", |sample| sample);
            let message = format!("the loss of sample {sample} is {} in step {}", losses[at], self.steps + 1);
            return Err(
                StageError::new(message).help("look at this image and its mask; otherwise a smaller lr, or clip_norm: 1")
            );
        }
        let grad_norm = sum_norm / count as f64;
        if !grad_norm.is_finite() {
            let message = format!("the gradient of step {} is not finite (samples {})", self.steps + 1, samples.join(", "));
            return Err(StageError::new(message).help("take a smaller lr"));
        }
        // `clip_grad_norm_`: the factor is max_norm / (norm + 1e-6), at most 1.
        let clip = self.clip_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        let factor = clip / count as f64;
        self.steps += 1;
        self.slots.resize_with(gradients.len(), Slot::default);
        let mut trainee = network.lock()?;
        for ((weight, gradient), slot) in trainee.state.trained.iter_mut().zip(gradients).zip(&mut self.slots) {
            let gradient = gradient * factor;
            weight.inplace(|weight| match &self.rule {
                Rule::Sgd(sgd) => sgd.update(weight, gradient, &mut slot.momentum, lr),
                Rule::Adam(adam) => adam.update(weight, gradient, &mut slot.means, self.steps, lr),
            });
        }
        Ok(Figures { losses, grad_norm })
    }
}

/// Losses of the samples and the L2 norm over all gradients, in one transfer.
fn read(losses: Vec<Tensor<1>>, gradients: &[Tensor<1>]) -> Result<(Vec<f32>, f64)> {
    let squares = gradients.iter().map(|gradient| (gradient.clone() * gradient.clone()).sum());
    let all = Tensor::cat(losses.into_iter().chain(squares).collect(), 0);
    let mut values: Vec<f32> =
        all.try_into_vec_as().map_err(|error| StageError::new(format!("the device failed: {error:?}")))?;
    let squares = values.split_off(values.len() - gradients.len());
    Ok((values, squares.iter().map(|&square| f64::from(square)).sum::<f64>().sqrt()))
}
