//! The norms on the CPU: from sums per plane to what their readers apply, and the gradient.
//! The sums over pixels are the kernels'; here are the few values per channel, in float64.

use pipeline_contract::StageError;
use pipeline_kernels as kernels;

use super::values::{Store, Values, with};
use super::{Kernels, Map, Pass};
use crate::compute::{read, write};
use crate::memory::Tried;
use crate::network::{Norm, NormKind, State};

/// What readers and the backward pass need of a norm, per plane (sample and channel).
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// `[scale, shift]`: the norm of `x` is `scale * x + shift`.
    pub affine: Vec<[f32; 2]>,
    means: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f64>,
}

/// Sums per plane to the sum over all planes that share a statistic, in the same shape; `values` is what each plane holds.
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

/// How many planes share a statistic.
fn sharers(norm: &Norm, batch: usize) -> usize {
    match norm.kind {
        NormKind::Instance => 1,
        NormKind::Batch => batch,
        NormKind::Group => norm.members(),
    }
}

pub(super) fn moments(state: &mut State, norm: &Norm, x: &Map<Values>, pass: Pass) -> Result<Moments, StageError> {
    let (batch, pixels, channels) = (x.area.batch, x.area.pixels(), norm.channels);
    let (means, variances) = match (&norm.running, pass) {
        (Some(running), Pass::Evaluate) => {
            let widen = |values: &[f32]| -> Vec<f64> {
                (0..batch).flat_map(|_| values.iter().map(|&value| f64::from(value))).collect()
            };
            (read(&state.statistics[running.mean], widen)?, read(&state.statistics[running.variance], widen)?)
        }
        _ => {
            let mut planes = vec![[0.0; 2]; batch * channels];
            with!(x.data.precision(), E => kernels::moments(E::of(&x.data), x.area, &mut planes));
            // Planes that share are joined by Chan's formula: deviations from their own means, and of those means.
            let (count, each) = (sharers(norm, batch) as f64, pixels as f64);
            let own: Vec<f64> = planes.iter().map(|[mean, _]| *mean).collect();
            let means: Vec<f64> = shared(norm, batch, &own).into_iter().map(|sum| sum / count).collect();
            let deviations: Vec<f64> =
                planes.iter().zip(&means).map(|([own, squares], mean)| squares + each * (own - mean) * (own - mean)).collect();
            let variances = shared(norm, batch, &deviations).into_iter().map(|sum| sum / (count * each)).collect();
            (means, variances)
        }
    };
    if pass == Pass::Train {
        follow(state, norm, &means, &variances, batch * pixels)?;
    }
    let inverse: Vec<f64> = variances.iter().map(|variance| 1.0 / (variance + Norm::EPSILON).sqrt()).collect();
    let scales = read(&state.trained[norm.scale], <[f32]>::to_vec)?;
    let shifts = read(&state.trained[norm.shift], <[f32]>::to_vec)?;
    let affine = (0..batch * channels)
        .map(|plane| {
            let scale = f64::from(scales[plane % channels]) * inverse[plane];
            [scale as f32, (f64::from(shifts[plane % channels]) - means[plane] * scale) as f32]
        })
        .collect();
    Ok(Moments { affine, means: means.iter().map(|&mean| mean as f32).collect(), inverse })
}

/// Moves the running statistics towards this batch's; the running variance is the unbiased one, as in PyTorch.
fn follow(state: &mut State, norm: &Norm, means: &[f64], variances: &[f64], count: usize) -> Result<(), StageError> {
    let Some(running) = &norm.running else { return Ok(()) };
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    for (slot, batch, factor) in [(running.mean, means, 1.0), (running.variance, variances, unbiased)] {
        write(&mut state.statistics[slot], |values| {
            for (value, batch) in values.iter_mut().zip(batch) {
                *value = (f64::from(*value) * (1.0 - Norm::MOMENTUM) + batch * Norm::MOMENTUM * factor) as f32;
            }
        })?;
    }
    state.counters[running.batches] += 1;
    Ok(())
}

/// With g = upstream where the ReLU passes and n = (x - mean) / std: dx = (scale * g - M(scale * g) - n * M(scale * g * n)) /
/// std, where M is the mean over the pixels that share the statistics (Ioffe and Szegedy, 2015).
pub(super) fn input(
    kernels: &mut Kernels<'_>,
    norm: &Norm,
    x: &Map<Values>,
    moments: &Moments,
    upstream: &mut Map<Values>,
) -> Tried<()> {
    let (batch, channels) = (x.area.batch, norm.channels);
    let Moments { affine, means, inverse } = moments;
    let mut sums = vec![[0.0; 2]; batch * channels];
    with!(kernels.precision, E => {
        kernels::norm_sums(E::of(&x.data), E::of(&upstream.data), affine, means, x.area, &mut sums);
    });
    // The sums of g * n.
    for (sums, inverse) in sums.iter_mut().zip(inverse) {
        sums[1] *= inverse;
    }
    for (slot, which) in [(norm.shift, 0), (norm.scale, 1)] {
        kernels.gradient(slot, |gradient| {
            for (plane, sums) in sums.iter().enumerate() {
                gradient[plane % channels] += sums[which] as f32;
            }
        })?;
    }
    let scales = kernels.weight(norm.scale, <[f32]>::to_vec)?;
    let weighted = |which: usize| -> Vec<f64> {
        let values: Vec<f64> =
            sums.iter().enumerate().map(|(plane, sums)| sums[which] * f64::from(scales[plane % channels])).collect();
        shared(norm, batch, &values)
    };
    let (constants, alongs) = (weighted(0), weighted(1));
    let count = (sharers(norm, batch) * x.area.pixels()) as f64;
    let coefficients: Vec<[f32; 3]> = (0..batch * channels)
        .map(|plane| {
            let inverse = inverse[plane];
            let factor = f64::from(scales[plane % channels]) * inverse;
            let along = alongs[plane] / count * inverse * inverse;
            [factor as f32, along as f32, (constants[plane] / count * inverse) as f32]
        })
        .collect();
    with!(kernels.precision, E => {
        kernels::norm_input_gradient(E::of(&x.data), E::of_mut(&mut upstream.data), affine, means, &coefficients, x.area);
    });
    Ok(())
}
