//! Adam and AdamW, as torch.optim.Adam and torch.optim.AdamW compute them.
//! The arithmetic is the backends'; the learning rate comes with each step.

use pipeline_kernels::AdamStep;

/// Adam (Kingma and Ba, 2015) or, with decoupled decay, AdamW (Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// How much of the running means of gradient and squared gradient is kept.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub eps: f64,
    /// How strongly weights are pulled to zero.
    pub weight_decay: f64,
    /// True for AdamW: decay shrinks the weight itself and stays out of the running means.
    pub decoupled: bool,
}

impl Adam {
    /// The arithmetic of step number `step`, from 1; gradients are multiplied by `factor` first.
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
