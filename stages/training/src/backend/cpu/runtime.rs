//! The CPU's work on tensors outside of passes, in place.

use burn::tensor::{Device, Tensor};
use pipeline_contract::Result;
use pipeline_kernels as kernels;

use super::host::{read, write};
use super::values::{tables, with};
use crate::backend::runtime::{Rule, Runtime, Update};
use crate::backend::work::NORMALIZATION;
use crate::memory::{Ledger, Tried};
use crate::precision::Precision;

/// The CPU.
pub(crate) struct CpuRuntime;

impl Runtime for CpuRuntime {
    fn download(&self, tensors: &[Tensor<1>]) -> Result<Vec<Vec<f32>>> {
        tensors.iter().map(|tensor| read(tensor, <[f32]>::to_vec)).collect()
    }

    fn clear(&self, sums: &mut Vec<Tensor<1>>) -> Result<()> {
        sums.iter_mut().try_for_each(|sum| write(sum, |values| values.fill(0.0)))
    }

    fn measure(&self, _: &Ledger, losses: &[Tensor<1>], gradients: &[Tensor<1>]) -> Tried<(Vec<f32>, f64)> {
        let squares = gradients.iter().map(|gradient| read(gradient, kernels::sum_of_squares));
        Ok((self.download(losses)?.concat(), squares.sum::<Result<f64>>()?.sqrt()))
    }

    fn rehearse_measure(&self, _: &[Tensor<1>], _: &[Tensor<1>]) -> Result<()> {
        Ok(())
    }

    fn update(&self, rule: &Rule, update: Update<'_>) -> Result<()> {
        let Update { weights, gradients, first, second } = update;
        let (mut first, mut second) = (first.iter_mut(), second.iter_mut());
        for (weight, gradient) in weights.iter_mut().zip(gradients) {
            step(rule, weight, gradient, first.next(), second.next())?;
        }
        Ok(())
    }

    fn average(&self, average: &mut Vec<Tensor<1>>, weights: &[Tensor<1>], share: f32) -> Result<()> {
        let mut pairs = average.iter_mut().zip(weights);
        pairs.try_for_each(|(average, weight)| {
            write(average, |average| read(weight, |weight| kernels::average(average, weight, share))).flatten()
        })
    }

    fn rounding(&self, precision: Precision) -> f64 {
        if precision.is_half() { 1e-4 } else { 1e-5 }
    }

    fn every_pixel(&self, _: &Device, precision: Precision) -> Result<Vec<f32>> {
        Ok(every_pixel(precision))
    }
}

/// One tensor's part of an optimizer step.
fn step(
    rule: &Rule,
    weight: &mut Tensor<1>,
    gradient: &Tensor<1>,
    first: Option<&mut Tensor<1>>,
    second: Option<&mut Tensor<1>>,
) -> Result<()> {
    let step = |weight: &mut [f32], gradient: &[f32], first: Option<&mut [f32]>, second: Option<&mut [f32]>| match (
        rule, first, second,
    ) {
        (Rule::Adam(adam), Some(first), Some(second)) => kernels::adam(adam, weight, gradient, first, second),
        (Rule::Adam(_), ..) => {}
        (Rule::Sgd(sgd), buffer, _) => kernels::sgd(sgd, weight, gradient, buffer),
    };
    let second = |weight: &mut [f32], gradient: &[f32], first: Option<&mut [f32]>| {
        lend(second, |second| step(weight, gradient, first, second))
    };
    let first = |weight: &mut [f32], gradient: &[f32]| lend(first, |first| second(weight, gradient, first)).flatten();
    write(weight, |weight| read(gradient, |gradient| first(weight, gradient)).flatten()).flatten()
}

/// Lets `work` change the values of a tensor, if there is one.
fn lend<T>(tensor: Option<&mut Tensor<1>>, work: impl FnOnce(Option<&mut [f32]>) -> T) -> Result<T> {
    match tensor {
        Some(tensor) => write(tensor, |values| work(Some(values))),
        None => Ok(work(None)),
    }
}

/// Every 8-bit value of every channel, converted to a float as the CPU's kernels do it, `[3, 256]`.
fn every_pixel(precision: Precision) -> Vec<f32> {
    with!(precision, E => {
        let mut wide = vec![0.0; 3 * 256];
        <E as kernels::Element>::widen(&tables::<E>(&NORMALIZATION).concat(), &mut wide);
        wide
    })
}
