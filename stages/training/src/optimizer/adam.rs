//! Adam and AdamW, as torch.optim.Adam and torch.optim.AdamW compute them.
//! One tensor at a time; the learning rate comes with each step.

use burn::tensor::Tensor;

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

/// The running means of one tensor.
#[derive(Debug, Clone)]
pub struct Means {
    /// Of the gradient.
    pub first: Tensor<1>,
    /// Of its square.
    pub second: Tensor<1>,
}

impl Adam {
    /// The step number `step` counts from 1.
    pub(crate) fn update(
        &self,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        means: &mut Option<Means>,
        step: u64,
        lr: f64,
    ) -> Tensor<1> {
        let [beta1, beta2] = self.betas;
        let (weight, gradient) = match (self.decoupled, self.weight_decay == 0.0) {
            (_, true) => (weight, gradient),
            (true, _) => (weight * (1.0 - lr * self.weight_decay), gradient),
            (false, _) => (weight.clone(), gradient + weight * self.weight_decay),
        };
        let square = gradient.clone() * gradient.clone() * (1.0 - beta2);
        let linear = gradient * (1.0 - beta1);
        let (first, second) = match means.take() {
            Some(old) => (old.first * beta1 + linear, old.second * beta2 + square),
            None => (linear, square),
        };
        *means = Some(Means { first: first.clone(), second: second.clone() });
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let (correction1, correction2) = (1.0 - beta1.powi(power), 1.0 - beta2.powi(power));
        let denominator = second.sqrt() / correction2.sqrt() + self.eps;
        weight - first / denominator * (lr / correction1)
    }
}
