//! The layers of a network: which tensors each has and what it does, without doing it. Arithmetic is `compute`'s.

use super::{Init, Layout, Role};

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

/// A 3x3 convolution without bias, stride 1, padding 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Slot of the weight `[outputs, inputs, 3, 3]`.
    pub weight: usize,
    /// Channels in; those of several inputs are counted together, in order.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
}

impl Convolution {
    pub(crate) fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform { fan_in: inputs * 9 };
        Self { weight: layout.trained(format!("{name}.weight"), &[outputs, inputs, 3, 3], init), inputs, outputs }
    }
}

/// The running statistics of a batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// Slot of the mean.
    pub mean: usize,
    /// Slot of the (unbiased) variance.
    pub variance: usize,
    /// Slot of the counter of batches.
    pub batches: usize,
}

/// A norm with scale and shift per channel, and the ReLU after it: `relu((x - mean) / sqrt(variance + eps) * scale + shift)`,
/// with the biased variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Norm {
    /// Which pixels share their statistics.
    pub kind: NormKind,
    /// Channels.
    pub channels: usize,
    /// Slot of the scale.
    pub scale: usize,
    /// Slot of the shift.
    pub shift: usize,
    /// Of batch norm.
    pub running: Option<Running>,
}

impl Norm {
    /// Added to the variance, as in PyTorch.
    pub const EPSILON: f64 = 1e-5;
    /// How much of a batch's statistics goes into the running ones, as in PyTorch.
    pub const MOMENTUM: f64 = 0.1;

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

    /// Channels that share statistics within a sample.
    pub fn members(&self) -> usize {
        match self.kind {
            NormKind::Group => self.channels / self.channels.min(8),
            NormKind::Batch | NormKind::Instance => 1,
        }
    }
}

/// A 2x2 transposed convolution of stride 2, with bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upsample {
    /// Slot of the weight `[inputs, outputs, 2, 2]`.
    pub weight: usize,
    /// Slot of the bias.
    pub bias: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
}

impl Upsample {
    pub(crate) fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        // PyTorch counts the fan of a transposed convolution from its second dimension, the outputs.
        let init = Init::Uniform { fan_in: outputs * 4 };
        Self {
            weight: layout.trained(format!("{name}.weight"), &[inputs, outputs, 2, 2], init),
            bias: layout.trained(format!("{name}.bias"), &[outputs], init),
            inputs,
            outputs,
        }
    }
}

/// A 1x1 convolution with bias that turns features into logits. Its output is float32 whatever the maps are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Slot of the weight `[outputs, inputs, 1, 1]`.
    pub weight: usize,
    /// Slot of the bias.
    pub bias: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
}

impl Head {
    pub(crate) fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform { fan_in: inputs };
        Self {
            weight: layout.trained(format!("{name}.weight"), &[outputs, inputs, 1, 1], init),
            bias: layout.trained(format!("{name}.bias"), &[outputs], init),
            inputs,
            outputs,
        }
    }
}
