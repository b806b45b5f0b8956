//! Stochastic gradient descent with momentum, as torch.optim.SGD computes it.
//! One tensor at a time; the learning rate comes with each step.

use burn::tensor::Tensor;

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
    /// `d = g + decay w; buffer = momentum buffer + d` (at first `buffer = d`); `w -= lr * buffer`, or with Nesterov
    /// `w -= lr * (d + momentum buffer)`.
    pub(crate) fn update(&self, weight: Tensor<1>, gradient: Tensor<1>, buffer: &mut Option<Tensor<1>>, lr: f64) -> Tensor<1> {
        let mut direction = gradient;
        if self.weight_decay != 0.0 {
            direction = direction + weight.clone() * self.weight_decay;
        }
        if self.momentum != 0.0 {
            let moved = match buffer.take() {
                Some(old) => old * self.momentum + direction.clone(),
                None => direction.clone(),
            };
            direction = if self.nesterov { direction + moved.clone() * self.momentum } else { moved.clone() };
            *buffer = Some(moved);
        }
        weight - direction * lr
    }
}
