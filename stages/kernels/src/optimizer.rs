//! Adam, AdamW and SGD over flat weights, in place, as PyTorch computes them in float32.

use rayon::prelude::*;

/// Values per task.
const PART: usize = 1 << 14;

/// One step of torch.optim.Adam (Kingma and Ba, 2015) or, with decoupled decay, torch.optim.AdamW (Loshchilov and Hutter,
/// 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decay rate of the running mean of the gradient.
    pub beta1: f64,
    /// Decay rate of the running mean of the squared gradient.
    pub beta2: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// The learning rate.
    pub lr: f64,
    /// Weight decay: how strongly weights are pulled to zero.
    pub weight_decay: f64,
    /// True for AdamW: the decay shrinks the weight directly and stays out of the running means.
    pub decoupled: bool,
    /// The number of the step, counted from 1.
    pub step: u64,
    /// The gradient is first multiplied by this.
    pub factor: f32,
}

/// The coefficients of an Adam step, as float32 arithmetic uses them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamNumbers {
    /// The gradient is multiplied by this.
    pub factor: f32,
    /// The weight times this is added to the gradient.
    pub pull: f32,
    /// The weight is multiplied by this.
    pub shrink: f32,
    /// How much of the running mean is kept, and how much of the gradient is added.
    pub first: [f32; 2],
    /// The same for the squared gradient.
    pub second: [f32; 2],
    /// The root of the mean square is divided by this.
    pub root: f32,
    /// Added to that quotient.
    pub eps: f32,
    /// The resulting update is multiplied by this.
    pub rate: f32,
}

impl AdamStep {
    /// The coefficients of this step, computed in float64.
    pub fn numbers(&self) -> AdamNumbers {
        let power = i32::try_from(self.step).unwrap_or(i32::MAX);
        let decay = self.lr * self.weight_decay;
        let (shrink, pull) = if self.decoupled { (1.0 - decay, 0.0) } else { (1.0, self.weight_decay) };
        AdamNumbers {
            factor: self.factor,
            pull: pull as f32,
            shrink: shrink as f32,
            first: [self.beta1 as f32, (1.0 - self.beta1) as f32],
            second: [self.beta2 as f32, (1.0 - self.beta2) as f32],
            root: (1.0 - self.beta2.powi(power)).sqrt() as f32,
            eps: self.eps as f32,
            rate: (self.lr / (1.0 - self.beta1.powi(power))) as f32,
        }
    }
}

/// With `g = factor * gradient`: `first = beta1 first + (1 - beta1) g`, `second = beta2 second + (1 - beta2) g^2`, `weight
/// -= lr / (1 - beta1^step) * first / (sqrt(second) / sqrt(1 - beta2^step) + eps)`. Decay adds `weight_decay *
/// weight` to `g`; decoupled decay multiplies the weight by `1 - lr weight_decay` beforehand. The means start as zeros.
///
/// # Panics
/// When the lengths differ.
pub fn adam(step: &AdamStep, weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
    assert_eq!([gradient.len(), first.len(), second.len()], [weight.len(); 3], "the lengths");
    let AdamNumbers { factor, pull, shrink, first: [keep1, take1], second: [keep2, take2], root, eps, rate } = step.numbers();
    let means = first.par_chunks_mut(PART).zip(second.par_chunks_mut(PART));
    weight.par_chunks_mut(PART).zip(gradient.par_chunks(PART)).zip(means).for_each(|((weight, gradient), (first, second))| {
        for (((weight, gradient), first), second) in weight.iter_mut().zip(gradient).zip(first).zip(second) {
            let gradient = gradient * factor + *weight * pull;
            *first = *first * keep1 + gradient * take1;
            *second = *second * keep2 + gradient * gradient * take2;
            *weight = *weight * shrink - *first / (second.sqrt() / root + eps) * rate;
        }
    });
}

/// One step of torch.optim.SGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// The learning rate.
    pub lr: f64,
    /// Momentum: how much of the last direction is kept; 0 for none.
    pub momentum: f64,
    /// Weight decay: this times the weight is added to the gradient.
    pub weight_decay: f64,
    /// Nesterov momentum: look ahead along the momentum.
    pub nesterov: bool,
    /// The gradient is first multiplied by this.
    pub factor: f32,
    /// True while the buffer holds nothing yet: it is set to the direction.
    pub first: bool,
}

/// With `d = factor * gradient + weight_decay * weight`: `buffer = momentum * buffer + d` (in the first step `buffer = d`)
/// and `weight -= lr * buffer`, or with Nesterov `weight -= lr * (d + momentum * buffer)`. Without momentum
/// `weight -= lr * d`, and a buffer is left alone.
///
/// # Panics
/// When the lengths differ, or there is momentum but no buffer.
pub fn sgd(step: &SgdStep, weight: &mut [f32], gradient: &[f32], buffer: Option<&mut [f32]>) {
    assert_eq!(gradient.len(), weight.len(), "the lengths");
    let [lr, momentum, decay] = [step.lr as f32, step.momentum as f32, step.weight_decay as f32];
    let parts = weight.par_chunks_mut(PART).zip(gradient.par_chunks(PART));
    if momentum == 0.0 {
        return parts.for_each(|(weight, gradient)| {
            for (weight, gradient) in weight.iter_mut().zip(gradient) {
                *weight -= (gradient * step.factor + *weight * decay) * lr;
            }
        });
    }
    let buffer = buffer.unwrap_or_default();
    assert_eq!(buffer.len(), gradient.len(), "momentum needs a buffer of the same length");
    parts.zip(buffer.par_chunks_mut(PART)).for_each(|((weight, gradient), buffer)| {
        for ((weight, gradient), buffer) in weight.iter_mut().zip(gradient).zip(buffer) {
            let direction = gradient * step.factor + *weight * decay;
            *buffer = if step.first { direction } else { *buffer * momentum + direction };
            let taken = if step.nesterov { direction + *buffer * momentum } else { *buffer };
            *weight -= taken * lr;
        }
    });
}
