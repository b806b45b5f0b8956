//! Stochastic gradient descent with momentum, as torch.optim.SGD computes it.
//! The backends do the arithmetic; the learning rate is passed with each step.

use pipeline_kernels::SgdStep;

/// Stochastic gradient descent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// The share of the last direction that is kept; 0 for no momentum.
    pub momentum: f64,
    /// This times the weight is added to the gradient.
    pub weight_decay: f64,
    /// Nesterov momentum: looks ahead along the momentum.
    pub nesterov: bool,
}

impl Sgd {
    /// The parameters of a step, which is the `first` or a later one; gradients are multiplied by `factor` before anything
    /// else.
    pub(super) fn at(&self, first: bool, lr: f64, factor: f64) -> SgdStep {
        let Self { momentum, weight_decay, nesterov } = *self;
        SgdStep { lr, momentum, weight_decay, nesterov, factor: factor as f32, first }
    }
}
