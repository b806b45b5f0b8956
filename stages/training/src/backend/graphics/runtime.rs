//! A graphics device's work on tensors outside of passes: everything is read back in one transfer.

use burn::tensor::{Device, Tensor, Transaction};
use pipeline_contract::Result;
use pipeline_kernels::SgdStep;

use super::{bytes, failure::failure, kernels};
use crate::backend::runtime::{Rule, Runtime, Update};
use crate::device;
use crate::memory::{Ledger, Tried};
use crate::precision::Precision;

/// Any graphics device.
pub(crate) struct GraphicsRuntime;

/// The losses of the samples, followed by the partial sums of the squares of the gradients.
fn figures(losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Result<Tensor<1>> {
    let squares = kernels::squares(gradients)?;
    Ok(Tensor::cat(losses.iter().cloned().chain(squares).collect(), 0))
}

impl Runtime for GraphicsRuntime {
    fn download(&self, tensors: &[Tensor<1>]) -> Result<Vec<Vec<f32>>> {
        if tensors.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |error: &dyn std::fmt::Debug| device::failed(&format!("{error:?}"));
        let all = tensors.iter().cloned().fold(Transaction::default(), Transaction::register);
        let data = all.try_execute().map_err(|error| failed(&error))?;
        data.into_iter().map(|data| data.try_into_vec_as().map_err(|error| failed(&error))).collect()
    }

    fn clear(&self, sums: &mut Vec<Tensor<1>>) -> Result<()> {
        sums.clear();
        Ok(())
    }

    fn measure(&self, ledger: &Ledger, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Tried<(Vec<f32>, f64)> {
        if losses.is_empty() {
            return Ok((Vec::new(), 0.0));
        }
        let samples: usize = losses.iter().map(|losses| losses.dims()[0]).sum();
        let all = figures(losses, gradients)?.try_into_vec_as::<f32>();
        let mut all = all.map_err(|error| failure(ledger, &format!("{error:?}")))?;
        let squares = all.split_off(samples.min(all.len()));
        Ok((all, squares.iter().map(|&square| f64::from(square)).sum::<f64>().sqrt()))
    }

    fn rehearse_measure(&self, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Result<()> {
        figures(losses, gradients).map(drop)
    }

    fn update(&self, rule: &Rule, update: Update<'_>) -> Result<()> {
        let Update { weights, gradients, first, second } = update;
        // Moved out, so that each tensor has a single owner and is changed in place.
        let old = [&mut *weights, &mut *first, &mut *second].map(std::mem::take);
        let [olds, firsts, seconds] = old.map(Vec::into_iter);
        match rule {
            Rule::Adam(adam) => {
                for (((weight, gradient), mean), square) in olds.zip(gradients).zip(firsts).zip(seconds) {
                    let (weight, [mean, square]) = kernels::adam(adam, weight, gradient.clone(), [mean, square])?;
                    weights.push(weight);
                    first.push(mean);
                    second.push(square);
                }
            }
            Rule::Sgd(step) => {
                let mut buffers = firsts;
                for (weight, gradient) in olds.zip(gradients) {
                    let (weight, buffer) = sgd(step, weight, gradient.clone(), buffers.next());
                    weights.push(weight);
                    first.extend(buffer);
                }
            }
        }
        Ok(())
    }

    fn rounding(&self, precision: Precision) -> f64 {
        match precision {
            Precision::Float32 => 1e-5,
            Precision::Tf32 => 2e-3,
            Precision::Float16 => 5e-3,
            Precision::BFloat16 => 4e-2,
        }
    }

    fn every_pixel(&self, device: &Device, precision: Precision) -> Result<Vec<f32>> {
        bytes::every_pixel(device, precision)
    }
}

/// A step of SGD with momentum, as torch.optim.SGD computes it: `d = g + decay w; buffer = momentum buffer + d` (in the first
/// step `buffer = d`); `w -= lr * buffer`, or with Nesterov `w -= lr * (d + momentum buffer)`.
fn sgd(step: &SgdStep, weight: Tensor<1>, gradient: Tensor<1>, buffer: Option<Tensor<1>>) -> (Tensor<1>, Option<Tensor<1>>) {
    let mut direction = gradient * step.factor;
    if step.weight_decay != 0.0 {
        direction = direction + weight.clone() * step.weight_decay;
    }
    let Some(buffer) = buffer else { return (weight - direction * step.lr, None) };
    let moved = if step.first { direction.clone() } else { buffer * step.momentum + direction.clone() };
    direction = if step.nesterov { direction + moved.clone() * step.momentum } else { moved.clone() };
    (weight - direction * step.lr, Some(moved))
}
