//! The norms on the CPU: from sums per plane to the values that readers apply, and the gradient. The kernels compute the sums
//! over pixels; the few values per channel are computed here, in float64.

use pipeline_contract::StageError;
use pipeline_kernels as kernels;

use super::core::Cpu;
use super::host::{read, write};
use super::statistics::{Part, Statistics};
use super::values::{Store as _, Values, with};
use crate::layer::{Norm, NormBackend, NormCall, NormKind, Running};
use crate::memory::Tried;
use crate::parameters::State;
use crate::pass::{Map, Pass};

/// Mean and sum of squared deviations of each plane of a map.
pub(crate) struct Partial(Vec<[f64; 2]>);

/// Mean and biased variance for each plane of all inputs together; planes that share statistics have the same values.
pub(crate) struct Merged {
    means: Vec<f64>,
    variances: Vec<f64>,
}

/// Joins the plane values of several inputs into those of one map with all their channels, sample by sample.
fn joined<T: Copy>(batch: usize, parts: &[Vec<T>]) -> Vec<T> {
    let [only] = parts else {
        let of = |sample: usize| parts.iter().flat_map(move |part| part.chunks(part.len() / batch).nth(sample));
        return (0..batch).flat_map(of).flatten().copied().collect();
    };
    only.clone()
}

/// The inverse of [`joined`].
fn split<T: Copy>(values: &[T], channels: usize, parts: impl Iterator<Item = usize>) -> Vec<Vec<T>> {
    let mut start = 0;
    parts
        .map(|own| {
            let range = start..start + own;
            start = range.end;
            values.chunks(channels).flat_map(|sample| &sample[range.clone()]).copied().collect()
        })
        .collect()
}

/// For each plane, the sum over all planes that share its statistics; `values` holds one value per plane.
fn shared(norm: &Norm, batch: usize, values: &[f64]) -> Vec<f64> {
    let channels = norm.channels;
    let mut sums = vec![0.0; values.len()];
    for (plane, sum) in sums.iter_mut().enumerate() {
        let (sample, channel) = (plane / channels, plane % channels);
        *sum = match norm.kind {
            NormKind::Instance => values[plane],
            NormKind::Batch => (0..batch).map(|sample| values[sample * channels + channel]).sum(),
            NormKind::Group => {
                let members = norm.members();
                let first = sample * channels + channel / members * members;
                values[first..first + members].iter().sum()
            }
        };
    }
    sums
}

/// How many planes share their statistics.
fn sharers(norm: &Norm, batch: usize) -> usize {
    norm.sharers(batch, 1)
}

impl NormBackend for Cpu<'_> {
    type Partial = Partial;
    type Merged = Merged;

    fn partial(&mut self, map: &Map<Values>) -> Tried<Partial> {
        let mut planes = vec![[0.0; 2]; map.area.batch * map.channels];
        with!(map.data.precision(), E => kernels::moments(E::of(&map.data), map.area, &mut planes));
        Ok(Partial(planes))
    }

    /// Planes that share statistics are merged by Chan's formula: squared deviations from each plane's own mean, plus those of
    /// the plane means.
    fn merge(&mut self, call: &NormCall<'_, Self>, partials: Vec<Partial>) -> Tried<Merged> {
        let (norm, area) = (call.norm, call.maps[0].area);
        let planes = joined(area.batch, &partials.into_iter().map(|partial| partial.0).collect::<Vec<_>>());
        let (count, each) = (sharers(norm, area.batch) as f64, area.pixels() as f64);
        let own: Vec<f64> = planes.iter().map(|[mean, _]| *mean).collect();
        let means: Vec<f64> = shared(norm, area.batch, &own).into_iter().map(|sum| sum / count).collect();
        let deviations: Vec<f64> =
            planes.iter().zip(&means).map(|([own, squares], mean)| squares + each * (own - mean) * (own - mean)).collect();
        let variances = shared(norm, area.batch, &deviations).into_iter().map(|sum| sum / (count * each)).collect();
        Ok(Merged { means, variances })
    }

    fn finish(&mut self, call: &NormCall<'_, Self>, merged: Merged, pass: Pass) -> Tried<Statistics> {
        let (norm, area) = (call.norm, call.maps[0].area);
        if let (Some(running), Pass::Train) = (&norm.running, pass) {
            follow(self.state, norm, running, &merged, area.batch * area.pixels())?;
        }
        let Merged { means, variances } = merged;
        let inverse: Vec<f64> = variances.iter().map(|variance| 1.0 / (variance + norm.eps).sqrt()).collect();
        let scales = self.weight(norm.scale, <[f32]>::to_vec)?;
        let shifts = self.weight(norm.shift, <[f32]>::to_vec)?;
        let channels = norm.channels;
        let affine: Vec<[f32; 2]> = (0..area.batch * channels)
            .map(|plane| {
                let scale = f64::from(scales[plane % channels]) * inverse[plane];
                [scale as f32, (f64::from(shifts[plane % channels]) - means[plane] * scale) as f32]
            })
            .collect();
        let means: Vec<f32> = means.iter().map(|&mean| mean as f32).collect();
        let own = || call.maps.iter().map(|map| map.channels);
        let parts = split(&affine, channels, own()).into_iter().zip(split(&means, channels, own()));
        Ok(Statistics {
            parts: parts.map(|(affine, means)| Part { affine, means }).collect(),
            inverse,
            activation: norm.activation,
        })
    }

    fn running(&mut self, call: &NormCall<'_, Self>, running: &Running) -> Tried<Statistics> {
        let batch = call.maps[0].area.batch;
        let widen =
            |values: &[f32]| -> Vec<f64> { (0..batch).flat_map(|_| values.iter().map(|&value| f64::from(value))).collect() };
        let means = read(&self.state.statistics[running.mean], widen)?;
        let variances = read(&self.state.statistics[running.variance], widen)?;
        self.finish(call, Merged { means, variances }, Pass::Evaluate)
    }

    /// With g = upstream after the activation's gradient and n = (x - mean) / std: dx = (scale * g - M(scale * g) - n * M(scale *
    /// g * n)) / std, where M is the mean over the values that share the statistics (Ioffe and Szegedy, 2015).
    fn norm_gradient(&mut self, call: &NormCall<'_, Self>, statistics: &Statistics, upstream: &mut [Map<Values>]) -> Tried<()> {
        let (norm, area) = (call.norm, call.maps[0].area);
        let (batch, channels) = (area.batch, norm.channels);
        let mut sums = Vec::new();
        for ((x, upstream), part) in call.maps.iter().zip(&*upstream).zip(&statistics.parts) {
            let mut own = vec![[0.0; 2]; batch * x.channels];
            with!(self.precision, E => {
                kernels::norm_sums(E::of(&x.data), E::of(&upstream.data), &part.affine, norm.activation, &part.means, area, &mut own);
            });
            sums.push(own);
        }
        let mut sums = joined(batch, &sums);
        // The sums of g * n.
        for (sums, inverse) in sums.iter_mut().zip(&statistics.inverse) {
            sums[1] *= inverse;
        }
        for (slot, which) in [(norm.shift, 0), (norm.scale, 1)] {
            self.gradient(slot, |gradient| {
                for (plane, sums) in sums.iter().enumerate() {
                    gradient[plane % channels] += sums[which] as f32;
                }
            })?;
        }
        let scales = self.weight(norm.scale, <[f32]>::to_vec)?;
        let weighted = |which: usize| -> Vec<f64> {
            let values: Vec<f64> =
                sums.iter().enumerate().map(|(plane, sums)| sums[which] * f64::from(scales[plane % channels])).collect();
            shared(norm, batch, &values)
        };
        let (constants, alongs) = (weighted(0), weighted(1));
        let count = (sharers(norm, batch) * area.pixels()) as f64;
        let coefficients: Vec<[f32; 3]> = (0..batch * channels)
            .map(|plane| {
                let inverse = statistics.inverse[plane];
                let factor = f64::from(scales[plane % channels]) * inverse;
                let along = alongs[plane] / count * inverse * inverse;
                [factor as f32, along as f32, (constants[plane] / count * inverse) as f32]
            })
            .collect();
        let coefficients = split(&coefficients, channels, call.maps.iter().map(|map| map.channels));
        for (((x, upstream), part), coefficients) in call.maps.iter().zip(upstream).zip(&statistics.parts).zip(&coefficients) {
            let (affine, means) = (&part.affine, &part.means);
            with!(self.precision, E => {
                let (x, upstream) = (E::of(&x.data), E::of_mut(&mut upstream.data));
                kernels::norm_input_gradient(x, upstream, affine, norm.activation, means, coefficients, area);
            });
        }
        Ok(())
    }
}

/// Moves the running statistics towards this batch's statistics; the running variance is the unbiased one, as in PyTorch.
fn follow(state: &mut State, norm: &Norm, running: &Running, merged: &Merged, count: usize) -> Result<(), StageError> {
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    for (slot, batch, factor) in [(running.mean, &merged.means, 1.0), (running.variance, &merged.variances, unbiased)] {
        write(&mut state.statistics[slot], |values| {
            for (value, batch) in values.iter_mut().zip(batch) {
                *value = (f64::from(*value) * (1.0 - norm.momentum) + batch * norm.momentum * factor) as f32;
            }
        })?;
    }
    state.counters[running.batches] += 1;
    Ok(())
}
