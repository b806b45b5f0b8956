//! Adam and AdamW, as torch.optim.Adam and torch.optim.AdamW compute them.
//! One tensor at a time; the learning rate comes with each step.

use burn::tensor::Tensor;
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
    /// Gives the weight and its running means (both zero at first) after the step number `step`, which counts from 1.
    pub(super) fn update(
        &self,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        [first, second]: [Tensor<1>; 2],
        step: u64,
        lr: f64,
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        let [beta1, beta2] = self.betas;
        let (weight, gradient) = match (self.decoupled, self.weight_decay == 0.0) {
            (_, true) => (weight, gradient),
            (true, _) => (weight * (1.0 - lr * self.weight_decay), gradient),
            (false, _) => (weight.clone(), gradient + weight * self.weight_decay),
        };
        let second = second * beta2 + gradient.clone() * gradient.clone() * (1.0 - beta2);
        let first = first * beta1 + gradient * (1.0 - beta1);
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - beta1.powi(power), 1.0 - beta2.powi(power));
        let denominator = second.clone().sqrt() / correction2.sqrt() + self.eps;
        (weight - first.clone() / denominator * (lr / correction1), [first, second])
    }

    /// The same for the CPU's kernel; gradients are multiplied by `factor` first.
    pub(super) fn kernel(&self, step: u64, lr: f64, factor: f64) -> AdamStep {
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
