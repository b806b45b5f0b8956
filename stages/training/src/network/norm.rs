//! Batch, group and instance norm, each followed by ReLU: forward, and the gradients of scale, shift and input.
//! One formula serves all three; they differ only in which pixels share a mean and a variance.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::{Gradients, Init, Layout, Pass, Role, State};

/// Added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;
/// How much of a batch's statistics goes into the running ones, as in PyTorch.
const MOMENTUM: f64 = 0.1;

/// Which pixels share a mean and a variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// A sample's channels in `min(8, channels)` groups.
    Group,
    /// A channel over the whole batch; running statistics in evaluation.
    Batch,
    /// A channel of a sample.
    Instance,
}

impl NormKind {
    /// Its name in files: `group`, `batch` or `instance`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Batch => "batch",
            Self::Instance => "instance",
        }
    }
}

#[derive(Debug, Clone)]
struct Running {
    mean: usize,
    variance: usize,
    batches: usize,
}

/// A norm with scale and shift per channel, and the ReLU after it.
#[derive(Debug, Clone)]
pub(crate) struct NormRelu {
    kind: NormKind,
    channels: usize,
    scale: usize,
    shift: usize,
    running: Option<Running>,
}

/// What the backward pass needs besides input and output: `[batch, channels]` each.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    mean: Tensor<2>,
    inverse: Tensor<2>,
}

impl NormRelu {
    pub(crate) fn new(layout: &mut Layout, name: &str, channels: usize, kind: NormKind) -> Self {
        let scale = layout.trained(format!("{name}.weight"), &[channels], Init::One);
        let shift = layout.trained(format!("{name}.bias"), &[channels], Init::Zero);
        let running = (kind == NormKind::Batch).then(|| Running {
            mean: layout.add(format!("{name}.running_mean"), &[channels], Init::Zero, Role::Statistic),
            variance: layout.add(format!("{name}.running_var"), &[channels], Init::One, Role::Statistic),
            batches: layout.add(format!("{name}.num_batches_tracked"), &[], Init::Zero, Role::Counter),
        });
        Self { kind, channels, scale, shift, running }
    }

    /// `relu((x - mean) / sqrt(variance + eps) * scale + shift)`, with the biased variance.
    pub(crate) fn forward(&self, state: &mut State, x: Tensor<4>, pass: Pass) -> (Tensor<4>, Moments) {
        let [batch, channels, height, width] = x.dims();
        let (mean, centred, variance) = match (&self.running, pass) {
            (Some(running), Pass::Evaluate) => {
                let statistic = |slot: usize| state.statistics[slot].clone().reshape([1, channels]).expand([batch, channels]);
                let mean = statistic(running.mean);
                (mean.clone(), x - spread(mean), statistic(running.variance))
            }
            _ => {
                let mean = self.pooled(spatial_sum(x.clone()), height * width);
                // Two passes: E[x^2] - E[x]^2 would lose the variance of a channel far from zero.
                let centred = x - spread(mean.clone());
                let variance = self.pooled(spatial_sum(centred.clone() * centred.clone()), height * width);
                self.update(state, &mean, &variance, batch * height * width);
                (mean, centred, variance)
            }
        };
        let inverse = (variance + EPSILON).sqrt().recip();
        let scale = state.view(self.scale, [1, channels]) * inverse.clone();
        let y = relu(centred * spread(scale) + state.view(self.shift, [1, channels, 1, 1]));
        (y, Moments { mean, inverse })
    }

    /// Sets the gradients of scale and shift and gives the input's.
    ///
    /// With g = upstream where y > 0 and n = (x - mean) / std: dx = (scale * g - M(scale * g) - n * M(scale * g * n)) / std,
    /// where M is the mean over the pixels that share the statistics (Ioffe and Szegedy, 2015).
    pub(crate) fn backward(
        &self,
        state: &State,
        x: Tensor<4>,
        y: Tensor<4>,
        moments: Moments,
        upstream: Tensor<4>,
        gradients: &mut Gradients,
    ) -> Tensor<4> {
        let [_, channels, height, width] = x.dims();
        let Moments { mean, inverse } = moments;
        let upstream = upstream.mask_fill(y.lower_equal_elem(0.0), 0.0);
        let normal = (x - spread(mean)) * spread(inverse.clone());
        let shift = spatial_sum(upstream.clone());
        let scale = spatial_sum(upstream.clone() * normal.clone());
        gradients.set(self.shift, shift.clone().sum_dim(0));
        gradients.set(self.scale, scale.clone().sum_dim(0));
        let weight = state.view(self.scale, [1, channels]);
        let constant = self.pooled(shift * weight.clone(), height * width) * inverse.clone();
        let along = self.pooled(scale * weight.clone(), height * width) * inverse.clone();
        upstream * spread(weight * inverse) - normal * spread(along) - spread(constant)
    }

    /// From sums over the pixels of each channel `[batch, channels]` to the mean over all pixels that share the statistics,
    /// in the same shape. `pixels` is height times width.
    fn pooled(&self, sums: Tensor<2>, pixels: usize) -> Tensor<2> {
        let [batch, channels] = sums.dims();
        match self.kind {
            NormKind::Instance => sums / pixels as f64,
            NormKind::Batch => (sums.sum_dim(0) / (batch * pixels) as f64).expand([batch, channels]),
            NormKind::Group => {
                let groups = channels.min(8);
                let members = channels / groups;
                let means = sums.reshape([batch * groups, members]).sum_dim(1) / (members * pixels) as f64;
                means.expand([batch * groups, members]).reshape([batch, channels])
            }
        }
    }

    /// Moves the running statistics towards this batch's; the running variance is the unbiased one, as in PyTorch.
    fn update(&self, state: &mut State, mean: &Tensor<2>, variance: &Tensor<2>, count: usize) {
        let Some(running) = &self.running else { return };
        let unbiased = count as f64 / (count.max(2) - 1) as f64;
        for (slot, batch, factor) in [(running.mean, mean, 1.0), (running.variance, variance, unbiased)] {
            let batch = batch.clone().narrow(0, 0, 1).reshape([self.channels]);
            let kept = state.statistics[slot].clone() * (1.0 - MOMENTUM);
            state.statistics[slot] = kept + batch * (MOMENTUM * factor);
        }
        state.counters[running.batches] += 1;
    }
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
