//! Stochastic gradient descent with momentum, as torch.optim.SGD computes it.
//! The arithmetic is the backends'; the learning rate comes with each step.

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
    /// The arithmetic of a step, the `first` or a later one; gradients are multiplied by `factor` before anything else.
    pub(super) fn at(&self, first: bool, lr: f64, factor: f64) -> SgdStep {
        let Self { momentum, weight_decay, nesterov } = *self;
        SgdStep { lr, momentum, weight_decay, nesterov, factor: factor as f32, first }
    }
}
