//! Stochastic gradient descent with momentum, as torch.optim.SGD computes it.
//! One tensor at a time; the learning rate comes with each step.

use burn::tensor::Tensor;
use pipeline_kernels::SgdStep;

/// Stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// How much of the last direction is kept; 0 for none.
    pub momentum: f64,
    /// Added to the gradient: this times the weight.
    pub weight_decay: f64,
    /// Look ahead along the momentum.
    pub nesterov: bool,
}

impl Sgd {
    /// Gives the weight and its buffer after a step: `d = g + decay w; buffer = momentum buffer + d` (at first
    /// `buffer = d`); `w -= lr * buffer`, or with Nesterov `w -= lr * (d + momentum buffer)`. `first` says that the buffer
    /// holds nothing yet.
    pub(super) fn update(
        &self,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        buffer: Option<Tensor<1>>,
        first: bool,
        lr: f64,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let mut direction = gradient;
        if self.weight_decay != 0.0 {
            direction = direction + weight.clone() * self.weight_decay;
        }
        let Some(buffer) = buffer else { return (weight - direction * lr, None) };
        let moved = if first { direction.clone() } else { buffer * self.momentum + direction.clone() };
        direction = if self.nesterov { direction + moved.clone() * self.momentum } else { moved.clone() };
        (weight - direction * lr, Some(moved))
    }

    /// The same for the CPU's kernel; gradients are multiplied by `factor` before anything else.
    pub(super) fn kernel(&self, first: bool, lr: f64, factor: f64) -> SgdStep {
        let Self { momentum, weight_decay, nesterov } = *self;
        SgdStep { lr, momentum, weight_decay, nesterov, factor: factor as f32, first }
    }
}
