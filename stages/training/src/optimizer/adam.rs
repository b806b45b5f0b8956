//! Adam and AdamW, as torch.optim.Adam and torch.optim.AdamW compute them.
//! The backends do the arithmetic; the learning rate is passed with each step.

use pipeline_kernels::AdamStep;

/// Adam (Kingma and Ba, 2015) or, with decoupled decay, AdamW (Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Decay rates of the running means of the gradient and the squared gradient: the share kept at each step.
    pub betas: [f64; 2],
    /// Added to the root of the mean square, for numerical stability.
    pub eps: f64,
    /// How strongly weights are pulled to zero.
    pub weight_decay: f64,
    /// True for AdamW: decay shrinks the weight directly and doesn't enter the running means.
    pub decoupled: bool,
}

impl Adam {
    /// The parameters of step number `step`, from 1; gradients are multiplied by `factor` first.
    pub(super) fn at(&self, step: u64, lr: f64, factor: f64) -> AdamStep {
        AdamStep {
            beta1: self.betas[0],
            beta2: self.betas[1],
            eps: self.eps,
            lr,
            weight_decay: self.weight_decay,
            decoupled: self.decoupled,
            step,
            factor: factor as f32,
        }
    }
}
