//! The norms by burn's tensors, in float32 whatever the maps are.

use burn::tensor::Tensor;

use super::{Normed, Pass, fused, wide};
use crate::memory::Tried;
use crate::network::{Norm, NormKind, State};

/// What readers and the backward pass need of a norm: `[batch, channels]` each, float32.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    pub(super) mean: Tensor<2>,
    pub(super) inverse: Tensor<2>,
}

/// What the backward pass gives.
pub(super) struct Gradients {
    pub input: Tensor<4>,
    pub scale: Tensor<2>,
    pub shift: Tensor<2>,
}

/// Scale and shift per plane that norm a map: `scale * x + shift`, `[batch, channels, 1, 1]`.
pub(super) fn affine(normed: &Normed) -> (Tensor<4>, Tensor<4>) {
    let scale = row(&normed.scale) * normed.inverse.clone();
    let shift = row(&normed.shift) - normed.mean.clone() * scale.clone();
    (spread(scale), spread(shift))
}

fn row(values: &Tensor<1>) -> Tensor<2> {
    values.clone().unsqueeze()
}

pub(super) fn moments(state: &mut State, norm: &Norm, x: Tensor<4>, pass: Pass) -> Tried<Moments> {
    let [batch, channels, height, width] = x.dims();
    if let (Some(running), Pass::Evaluate) = (&norm.running, pass) {
        let statistic = |slot: usize| state.statistics[slot].clone().reshape([1, channels]).expand([batch, channels]);
        return Ok(Moments { mean: statistic(running.mean), inverse: inverse(statistic(running.variance)) });
    }
    let (moments, variance) = if fused::runs(state.device()) {
        fused::moments(norm, x)?
    } else {
        let x = wide(x);
        let mean = pooled(norm, spatial_sum(x.clone()), height * width);
        // Two passes: E[x^2] - E[x]^2 would lose the variance of a channel far from zero.
        let centred = x - spread(mean.clone());
        let variance = pooled(norm, spatial_sum(centred.clone() * centred), height * width);
        (Moments { mean, inverse: inverse(variance.clone()) }, variance)
    };
    if pass == Pass::Train {
        follow(state, norm, &moments.mean, &variance, batch * height * width);
    }
    Ok(moments)
}

fn inverse(variance: Tensor<2>) -> Tensor<2> {
    (variance + Norm::EPSILON).sqrt().recip()
}

/// With g = upstream where the ReLU passes and n = (x - mean) / std: dx = (scale * g - M(scale * g) - n * M(scale * g * n)) /
/// std, where M is the mean over the pixels that share the statistics (Ioffe and Szegedy, 2015).
pub(super) fn input(norm: &Norm, normed: Normed, upstream: Tensor<4>) -> Gradients {
    let Normed { map, mean, inverse, scale, shift } = normed;
    let [_, _, height, width] = map.dims();
    let (weight, bias) = (row(&scale), row(&shift));
    let normal = (wide(map) - spread(mean)) * spread(inverse.clone());
    let passed = (normal.clone() * spread(weight.clone()) + spread(bias)).lower_equal_elem(0.0);
    let upstream = wide(upstream).mask_fill(passed, 0.0);
    let shift = spatial_sum(upstream.clone());
    let scale = spatial_sum(upstream.clone() * normal.clone());
    let constant = pooled(norm, shift.clone() * weight.clone(), height * width) * inverse.clone();
    let along = pooled(norm, scale.clone() * weight.clone(), height * width) * inverse.clone();
    let input = upstream * spread(weight * inverse) - normal * spread(along) - spread(constant);
    Gradients { input, scale: scale.sum_dim(0), shift: shift.sum_dim(0) }
}

/// From sums over the pixels of each channel `[batch, channels]` to the mean over all pixels that share the statistics, in
/// the same shape. `pixels` is height times width.
fn pooled(norm: &Norm, sums: Tensor<2>, pixels: usize) -> Tensor<2> {
    let [batch, channels] = sums.dims();
    match norm.kind {
        NormKind::Instance => sums / pixels as f64,
        NormKind::Batch => (sums.sum_dim(0) / (batch * pixels) as f64).expand([batch, channels]),
        NormKind::Group => {
            let members = norm.members();
            let groups = channels / members;
            let means = sums.reshape([batch * groups, members]).sum_dim(1) / (members * pixels) as f64;
            means.expand([batch * groups, members]).reshape([batch, channels])
        }
    }
}

/// Moves the running statistics towards this batch's; the running variance is the unbiased one, as in PyTorch.
fn follow(state: &mut State, norm: &Norm, mean: &Tensor<2>, variance: &Tensor<2>, count: usize) {
    let Some(running) = &norm.running else { return };
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    for (slot, batch, factor) in [(running.mean, mean, 1.0), (running.variance, variance, unbiased)] {
        let batch = batch.clone().narrow(0, 0, 1).reshape([norm.channels]);
        let kept = state.statistics[slot].clone() * (1.0 - Norm::MOMENTUM);
        state.statistics[slot] = kept + batch * (Norm::MOMENTUM * factor);
    }
    state.counters[running.batches] += 1;
}

/// The sum over the pixels of each channel: `[batch, channels, height, width]` to `[batch, channels]`.
fn spatial_sum(x: Tensor<4>) -> Tensor<2> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch * channels, height * width]).sum_dim(1).reshape([batch, channels])
}

/// `[batch, channels]` to `[batch, channels, 1, 1]`.
fn spread(x: Tensor<2>) -> Tensor<4> {
    let [batch, channels] = x.dims();
    x.reshape([batch, channels, 1, 1])
}
