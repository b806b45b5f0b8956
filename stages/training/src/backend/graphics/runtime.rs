//! A graphics device's work on tensors outside of passes: everything is read back in one transfer.

use burn::tensor::{Device, Tensor, Transaction};
use pipeline_contract::Result;

use super::kernels::{self, Trained};
use super::{bytes, failure::failure};
use crate::backend::runtime::{Rule, Runtime, Update};
use crate::device;
use crate::memory::{Ledger, Tried};
use crate::parameters::Flat;
use crate::precision::Precision;

/// Any graphics device.
pub(crate) struct GraphicsRuntime;

/// The losses of the samples, followed by the partial sums of the squares of the gradients.
fn figures(losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Result<Tensor<1>> {
    let buffers = Flat::of(gradients.to_vec()).buffers.into_iter();
    let squares = buffers.map(kernels::squares).collect::<Result<Vec<_>>>()?;
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
        // Moved out, so that each buffer has a single owner and is changed in place.
        let mut flats = [&mut *weights, &mut *first, &mut *second].map(|tensors| Flat::of(std::mem::take(tensors)));
        let [mut weight, mut means, mut squares] = flats.each_mut().map(|flat| std::mem::take(&mut flat.buffers).into_iter());
        let [weights_of, first_of, second_of] = &mut flats;
        for (weight, gradient) in weight.by_ref().zip(Flat::of(gradients.to_vec()).buffers) {
            let trained = Trained { weight, first: means.next(), second: squares.next() };
            let trained = match rule {
                Rule::Adam(step) => kernels::adam(step, trained, gradient)?,
                Rule::Sgd(step) => kernels::sgd(step, trained, gradient)?,
            };
            weights_of.buffers.push(trained.weight);
            first_of.buffers.extend(trained.first);
            second_of.buffers.extend(trained.second);
        }
        [*weights, *first, *second] = flats.map(Flat::tensors);
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
