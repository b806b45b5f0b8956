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

    fn average(&self, average: &mut Vec<Tensor<1>>, weights: &[Tensor<1>], share: f32) -> Result<()> {
        // Moved out, so that each buffer has a single owner and is changed in place.
        let mut flat = Flat::of(std::mem::take(average));
        let pairs = std::mem::take(&mut flat.buffers).into_iter().zip(Flat::of(weights.to_vec()).buffers);
        flat.buffers = pairs.map(|(average, weight)| kernels::average(average, weight, share)).collect::<Result<_>>()?;
        *average = flat.tensors();
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

#[cfg(test)]
#[expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]
mod tests {
    use pipeline_kernels::{AdamStep, SgdStep};

    use super::*;
    use crate::backend::cpu::CpuRuntime;
    use crate::parameters::{upload_all, zeros};

    const LENGTHS: [usize; 4] = [5, 3000, 1, 70];

    fn lists(scale: f32, device: &Device) -> Vec<Tensor<1>> {
        let values = |length: usize| (0..length).map(|at| scale * ((at * 37 % 101) as f32 - 50.0)).collect();
        upload_all(LENGTHS.map(values).to_vec(), device).expect("few values")
    }

    /// The weights after three steps, and what a clone of the first ones then holds.
    fn stepped(runtime: &dyn Runtime, device: &Device, rule: &dyn Fn(u64) -> Rule, means: usize) -> [Vec<Vec<f32>>; 2] {
        let (mut weights, gradients) = (lists(0.01, device), lists(0.3, device));
        let make = |wanted: bool| if wanted { zeros(&weights, device) } else { Vec::new() };
        let (mut first, mut second) = (make(means > 0), make(means > 1));
        let before = weights.clone();
        for step in 1..=3 {
            let (first, second) = (&mut first, &mut second);
            let update = Update { weights: &mut weights, gradients: &gradients, first, second };
            runtime.update(&rule(step), update).expect("a step");
        }
        assert_eq!(Flat::of(first).buffers.len(), if means == 0 { 0 } else { Flat::of(weights.clone()).buffers.len() });
        [&weights, &before].map(|tensors| runtime.download(tensors).expect("float32"))
    }

    #[test]
    fn steps_are_the_cpus_and_change_no_clone() {
        let Some(graphics) = device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
        let cpu = device::open("cpu").expect("the CPU").device;
        let adam = |decoupled| {
            move |step| {
                let (beta1, beta2, eps, lr, weight_decay) = (0.9, 0.999, 1e-8, 1e-2, 0.01);
                Rule::Adam(AdamStep { beta1, beta2, eps, lr, weight_decay, decoupled, step, factor: 0.5 })
            }
        };
        let sgd = |momentum, nesterov| {
            move |step| {
                let (lr, weight_decay) = (1e-2, 0.01);
                Rule::Sgd(SgdStep { lr, momentum, weight_decay, nesterov, factor: 0.5, first: step == 1 })
            }
        };
        let cases: [(&dyn Fn(u64) -> Rule, usize); 5] =
            [(&adam(true), 2), (&adam(false), 2), (&sgd(0.0, false), 0), (&sgd(0.9, false), 1), (&sgd(0.9, true), 1)];
        for (case, (rule, means)) in cases.into_iter().enumerate() {
            let [there, before] = stepped(&GraphicsRuntime, &graphics.device, rule, means);
            let [here, expected] = stepped(&CpuRuntime, &cpu, rule, means);
            assert_eq!(before, expected, "a clone sees no later step");
            for (a, b) in there.iter().flatten().zip(here.iter().flatten()) {
                assert!((a - b).abs() < 2e-6, "{case}: {a} is not {b}");
            }
        }
    }

    /// The average after three moves towards weights that differ each time, and what a clone of the first one then holds.
    fn averaged(runtime: &dyn Runtime, device: &Device) -> [Vec<Vec<f32>>; 2] {
        let mut average = zeros(&lists(1.0, device), device);
        runtime.average(&mut average, &lists(0.01, device), 1.0).expect("a copy");
        let before = average.clone();
        for (scale, share) in [(0.02, 0.9), (-0.03, 0.5), (0.07, 0.001)] {
            runtime.average(&mut average, &lists(scale, device), share).expect("a move");
        }
        assert_eq!(Flat::of(average.clone()).buffers.len(), Flat::of(lists(1.0, device)).buffers.len());
        [&average, &before].map(|tensors| runtime.download(tensors).expect("float32"))
    }

    #[test]
    fn an_average_is_the_cpus_and_begins_as_the_same_bits_as_the_weights() {
        let Some(graphics) = device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
        let cpu = device::open("cpu").expect("the CPU").device;
        let weights = CpuRuntime.download(&lists(0.01, &cpu)).expect("float32");
        let ([there, first], [here, expected]) = (averaged(&GraphicsRuntime, &graphics.device), averaged(&CpuRuntime, &cpu));
        assert_eq!((&first, &expected), (&weights, &weights), "a share of one copies, and a clone sees no later move");
        for (a, b) in there.iter().flatten().zip(here.iter().flatten()) {
            assert!((a - b).abs() < 1e-6, "{a} is not {b}");
        }
    }

    #[test]
    fn norms_are_the_same_bits_each_time_and_the_cpus_but_for_rounding() {
        let Some(graphics) = device::open("wgpu").map_err(|error| eprintln!("skipped: {error}")).ok() else { return };
        let cpu = device::open("cpu").expect("the CPU").device;
        let norm = |runtime: &dyn Runtime, device: &Device| {
            let losses = [Tensor::zeros([2], device)];
            let measured = runtime.measure(&Ledger::default(), &losses, &lists(0.3, device));
            measured.map(|(losses, norm)| (losses.len(), norm)).expect("float32")
        };
        let (first, again, here) =
            (norm(&GraphicsRuntime, &graphics.device), norm(&GraphicsRuntime, &graphics.device), norm(&CpuRuntime, &cpu));
        assert_eq!((first.0, first.1.to_bits()), (here.0, again.1.to_bits()));
        assert!((first.1 / here.1 - 1.0).abs() < 1e-6, "{} is not {}", first.1, here.1);
    }
}
