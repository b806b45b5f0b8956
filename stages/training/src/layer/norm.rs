//! The norms with their activation. A norm makes no map: from its input it takes statistics, and whoever reads the input
//! through the norm applies `activation(scale * x + shift)` on the way.
//!
//! Statistics come in four steps: partial sums of each map, merged over what shares them, finished into mean and deviation,
//! applied by readers. So partial sums may also come from elsewhere: from the operation that made the map, from other
//! micro-batches of a window, or from another machine.

use pipeline_contract::{Result, StageError};
use pipeline_kernels::Activation;

use crate::memory::Tried;
use crate::parameters::{Init, Layout, Role};
use crate::pass::{Backend, Cost, Executor, Map, Pass};

/// Which pixels share a mean and a variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// A sample's channels in groups (Wu and He, 2018).
    Group,
    /// A channel over the whole batch; running statistics in evaluation (Ioffe and Szegedy, 2015).
    Batch,
    /// A channel of a sample (Ulyanov et al., 2016).
    Instance,
}

impl NormKind {
    /// Their names in files.
    pub const NAMES: &'static [&'static str] = &["group", "batch", "instance"];

    /// The kind of a name in a file.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Group, Self::Batch, Self::Instance].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in files: `group`, `batch` or `instance`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Batch => "batch",
            Self::Instance => "instance",
        }
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

/// The options of a norm, as files give them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormOptions {
    /// Which pixels share their statistics.
    pub kind: NormKind,
    /// Group norm: into how many groups channels are divided, at most as many as there are channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Batch norm: the weight of a batch's statistics in the running ones.
    pub momentum: f64,
}

impl NormOptions {
    /// A kind of norm as PyTorch has it by default, with 8 groups.
    pub fn new(kind: NormKind) -> Self {
        Self { kind, groups: 8, eps: 1e-5, momentum: 0.1 }
    }

    /// Checks that channels divide into whole groups.
    ///
    /// # Errors
    /// When they don't.
    pub fn divides(&self, channels: usize) -> Result<()> {
        let groups = self.groups.clamp(1, channels.max(1));
        if self.kind != NormKind::Group || channels.is_multiple_of(groups) {
            return Ok(());
        }
        Err(StageError::new(format!("group norm can't divide {channels} channels into {groups} groups"))
            .help(format!("take a base of 1, 2, 4 or a multiple of 8, or groups that divide {channels}")))
    }
}

/// A norm with scale and shift per channel, and the activation after it: `activation((x - mean) / sqrt(variance + eps) * scale +
/// shift)`, with the biased variance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Which pixels share their statistics.
    pub kind: NormKind,
    /// Groups of channels, of group norm.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// The weight of a batch's statistics in the running ones.
    pub momentum: f64,
    /// Applied to what is normed.
    pub activation: Activation,
    /// Channels, over all inputs.
    pub channels: usize,
    /// Slot of the scale.
    pub scale: usize,
    /// Slot of the shift.
    pub shift: usize,
    /// Of batch norm.
    pub running: Option<Running>,
}

impl Norm {
    /// Declares the tensors.
    pub fn new(layout: &mut Layout, name: &str, channels: usize, options: NormOptions, activation: Activation) -> Self {
        let NormOptions { kind, groups, eps, momentum } = options;
        let scale = layout.trained(format!("{name}.weight"), &[channels], Init::One);
        let shift = layout.trained(format!("{name}.bias"), &[channels], Init::Zero);
        let running = (kind == NormKind::Batch).then(|| Running {
            mean: layout.add(format!("{name}.running_mean"), &[channels], Init::Zero, Role::Statistic),
            variance: layout.add(format!("{name}.running_var"), &[channels], Init::One, Role::Statistic),
            batches: layout.add(format!("{name}.num_batches_tracked"), &[], Init::Zero, Role::Counter),
        });
        let groups = groups.clamp(1, channels.max(1));
        Self { kind, groups, eps, momentum, activation, channels, scale, shift, running }
    }

    /// Channels of a sample that share statistics.
    pub fn members(&self) -> usize {
        match self.kind {
            NormKind::Group => self.channels / self.groups,
            NormKind::Batch | NormKind::Instance => 1,
        }
    }

    /// How many values share a mean, in maps of so many samples and pixels.
    pub fn sharers(&self, batch: usize, pixels: usize) -> usize {
        let samples = if self.kind == NormKind::Batch { batch } else { 1 };
        self.members().saturating_mul(pixels).saturating_mul(samples)
    }
}

/// The maps that a norm is over, one after the other along channels.
pub(crate) struct NormCall<'a, B: Backend> {
    pub norm: &'a Norm,
    pub maps: &'a [&'a Map<B::Data>],
}

/// What a backend does for a norm.
pub(crate) trait NormBackend: Backend {
    /// Sums over one map from which statistics can be merged: each channel's count, mean and squared deviations.
    type Partial;

    /// Mean and biased variance of what shares them.
    type Merged;

    /// The partial statistics of one map.
    fn partial(&mut self, map: &Map<Self::Data>) -> Tried<Self::Partial>;

    /// Statistics over all values that share them, from the partial ones of each of the norm's inputs.
    fn merge(&mut self, call: &NormCall<'_, Self>, partials: Vec<Self::Partial>) -> Tried<Self::Merged>;

    /// What readers apply. With `Pass::Train` the running statistics move.
    fn finish(&mut self, call: &NormCall<'_, Self>, merged: Self::Merged, pass: Pass) -> Tried<Self::Statistics>;

    /// What readers apply in evaluation, from running statistics.
    fn running(&mut self, call: &NormCall<'_, Self>, running: &Running) -> Tried<Self::Statistics>;

    /// Adds the gradients of scale and shift to the window's sums, and turns the gradients behind norm and activation (one
    /// for each input) into those of the inputs, in place.
    fn norm_gradient(
        &mut self,
        call: &NormCall<'_, Self>,
        statistics: &Self::Statistics,
        upstream: &mut [Map<Self::Data>],
    ) -> Tried<()>;
}

impl Norm {
    /// The statistics of a norm over its inputs.
    pub(crate) fn statistics<B: NormBackend>(
        &self,
        e: &mut Executor<B>,
        maps: &[&Map<B::Data>],
        pass: Pass,
    ) -> Tried<B::Statistics> {
        let (call, cost) = (NormCall { norm: self, maps }, cost(2.0, maps));
        e.perform(cost, |b| match (&self.running, pass) {
            (Some(running), Pass::Evaluate) => b.running(&call, running),
            _ => {
                let partials = maps.iter().map(|map| b.partial(map)).collect::<Tried<Vec<_>>>()?;
                let merged = b.merge(&call, partials)?;
                b.finish(&call, merged, pass)
            }
        })
    }

    /// The gradients of the norm's inputs, in place of those behind it.
    pub(crate) fn backward<B: NormBackend>(
        &self,
        e: &mut Executor<B>,
        maps: &[&Map<B::Data>],
        statistics: &B::Statistics,
        mut upstream: Vec<Map<B::Data>>,
    ) -> Tried<Vec<Map<B::Data>>> {
        let (call, cost) = (NormCall { norm: self, maps }, cost(5.0, maps));
        e.perform(cost, |b| b.norm_gradient(&call, statistics, &mut upstream))?;
        Ok(upstream)
    }
}

/// The cost of so many passes over some maps.
fn cost<D>(passes: f64, maps: &[&Map<D>]) -> Cost {
    let values: u64 = maps.iter().map(|map| map.shape().values()).sum();
    Cost::moving(passes * values as f64)
}
