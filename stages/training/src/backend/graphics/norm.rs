//! The norms on a graphics device: kernels compute the sums over pixels; the few values per channel are tensors.

use burn::tensor::Tensor;
use pipeline_contract::StageError;
use pipeline_kernels::Activation;

use super::core::Graphics;
use super::kernels::{self, Merged, Parameters, Partial};
use super::statistics::{Part, Statistics};
use crate::layer::{Norm, NormBackend, NormCall, Running};
use crate::memory::Tried;
use crate::pass::{Map, Pass};

/// The slope of an activation below zero; `None` if it changes nothing.
pub(super) fn slope(activation: Activation) -> Option<f32> {
    match activation {
        Activation::Identity => None,
        Activation::Relu => Some(0.0),
        Activation::LeakyRelu(slope) => Some(slope),
    }
}

impl NormBackend for Graphics<'_> {
    type Partial = Partial;
    type Merged = Merged;

    fn partial(&mut self, map: &Map<Tensor<4>>) -> Tried<Partial> {
        // The convolution that made the map may have computed them.
        match self.partial.take_if(|(memory, _)| kernels::memory(&map.data).is_ok_and(|of| of == *memory)) {
            Some((_, partial)) => Ok(partial),
            None => Ok(kernels::partial(map.data.clone())?),
        }
    }

    fn merge(&mut self, call: &NormCall<'_, Self>, partials: Vec<Partial>) -> Tried<Merged> {
        Ok(kernels::merge(call.norm, kernels::join(partials)?))
    }

    fn finish(&mut self, call: &NormCall<'_, Self>, merged: Merged, pass: Pass) -> Tried<Statistics> {
        let (norm, area) = (call.norm, call.maps[0].area);
        let Merged { mean, variance, inverse } = merged;
        if let (Some(running), Pass::Train) = (&norm.running, pass) {
            self.follow(norm, running, [&mean, &variance], area.batch * area.pixels());
        }
        let trained = |slot: usize| self.state.trained[slot].clone();
        let (scale, shift) = (trained(norm.scale), trained(norm.shift));
        let parts = match call.maps {
            [_] => vec![Part { mean, inverse: inverse.clone(), scale, shift }],
            maps => {
                let mut start = 0;
                let part = |map: &&Map<Tensor<4>>| {
                    let own = map.channels;
                    let plane = |of: &Tensor<2>| of.clone().narrow(1, start, own);
                    let channel = |of: &Tensor<1>| of.clone().narrow(0, start, own);
                    let part =
                        Part { mean: plane(&mean), inverse: plane(&inverse), scale: channel(&scale), shift: channel(&shift) };
                    start += own;
                    part
                };
                maps.iter().map(part).collect()
            }
        };
        Ok(Statistics { parts, inverse, slope: slope(norm.activation).unwrap_or(1.0) })
    }

    fn running(&mut self, call: &NormCall<'_, Self>, running: &Running) -> Tried<Statistics> {
        let (batch, channels) = (call.maps[0].area.batch, call.norm.channels);
        let statistic = |slot: usize| self.state.statistics[slot].clone().reshape([1, channels]).expand([batch, channels]);
        let (mean, variance) = (statistic(running.mean), statistic(running.variance));
        let inverse = (variance.clone() + call.norm.eps).sqrt().recip();
        let merged = Merged { mean, variance, inverse };
        self.finish(call, merged, Pass::Evaluate)
    }

    fn norm_gradient(
        &mut self,
        call: &NormCall<'_, Self>,
        statistics: &Statistics,
        upstream: &mut [Map<Tensor<4>>],
    ) -> Tried<()> {
        let norm = call.norm;
        let inputs = call.maps.iter().enumerate().map(|(part, map)| statistics.normed(part, &map.data)).collect();
        // Moved out, so that each tensor has a single owner and is changed in place.
        let mut taken = Vec::new();
        for map in &mut *upstream {
            let device = map.data.device();
            map.data.inplace(|data| {
                taken.push(data);
                Tensor::empty([1; 4], &device)
            });
        }
        let parameters = Parameters {
            scale: self.state.trained[norm.scale].clone(),
            inverse: statistics.inverse.clone(),
            scale_sum: self.sum(norm.scale)?,
            shift_sum: self.sum(norm.shift)?,
        };
        let made = kernels::norm_input(norm, inputs, taken, parameters)?;
        if made.len() != upstream.len() {
            return Err(StageError::new("a norm without gradients").into());
        }
        for (map, gradient) in upstream.iter_mut().zip(made) {
            map.data = self.narrow(gradient);
        }
        Ok(())
    }
}

impl Graphics<'_> {
    /// Moves the running statistics towards this batch's statistics; the running variance is the unbiased one, as in PyTorch.
    fn follow(&mut self, norm: &Norm, running: &Running, [mean, variance]: [&Tensor<2>; 2], count: usize) {
        let unbiased = count as f64 / (count.max(2) - 1) as f64;
        for (slot, batch, factor) in [(running.mean, mean, 1.0), (running.variance, variance, unbiased)] {
            let channels = batch.dims()[1];
            let batch = batch.clone().narrow(0, 0, 1).reshape([channels]);
            let kept = self.state.statistics[slot].clone() * (1.0 - norm.momentum);
            self.state.statistics[slot] = kept + batch * (norm.momentum * factor);
        }
        self.state.counters[running.batches] += 1;
    }
}
