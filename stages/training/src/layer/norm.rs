//! The norms with their activation. A norm makes no map: it takes statistics from its input, and whoever reads the input through
//! the norm applies `activation(scale * x + shift)` while reading.
//!
//! Statistics are computed in four steps: partial sums of each map, merged over everything that shares statistics, finished into
//! mean and deviation, and applied by readers. Partial sums may therefore also come from elsewhere: from the operation that made
//! the map, from other micro-batches of a window, or from another machine.

use pipeline_contract::{Result, StageError};
use pipeline_kernels::Activation;

use crate::memory::Tried;
use crate::parameters::{Init, Layout, Role};
use crate::pass::{Backend, Cost, Executor, Map, Pass};

/// Which values share a mean and a variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Groups of a sample's channels (Wu and He, 2018).
    Group,
    /// One channel over the whole batch; running statistics in evaluation (Ioffe and Szegedy, 2015).
    Batch,
    /// One channel of one sample (Ulyanov et al., 2016).
    Instance,
}

impl NormKind {
    /// The names of the kinds in files.
    pub const NAMES: &'static [&'static str] = &["group", "batch", "instance"];

    /// The kind with this name in files.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Group, Self::Batch, Self::Instance].into_iter().find(|kind| kind.name() == name)
    }

    /// The kind's name in files: `group`, `batch` or `instance`.
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
    /// Slot of the batch counter.
    pub batches: usize,
}

/// The options of a norm, as given in files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormOptions {
    /// Which values share their statistics.
    pub kind: NormKind,
    /// Group norm: the number of groups that channels are divided into, at most the number of channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Batch norm: the weight of a batch's statistics when they update the running ones.
    pub momentum: f64,
}

impl NormOptions {
    /// A kind of norm with PyTorch's defaults, and 8 groups.
    pub fn new(kind: NormKind) -> Self {
        Self { kind, groups: 8, eps: 1e-5, momentum: 0.1 }
    }

    /// Checks that the channels divide into whole groups.
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
    /// Which values share their statistics.
    pub kind: NormKind,
    /// Number of channel groups, for group norm.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// The weight of a batch's statistics when they update the running ones.
    pub momentum: f64,
    /// Applied to the normalised value.
    pub activation: Activation,
    /// Number of channels, over all inputs.
    pub channels: usize,
    /// Slot of the scale.
    pub scale: usize,
    /// Slot of the shift.
    pub shift: usize,
    /// The running statistics, for batch norm.
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

    /// How many values share a mean, in maps with this many samples and pixels.
    pub fn sharers(&self, batch: usize, pixels: usize) -> usize {
        let samples = if self.kind == NormKind::Batch { batch } else { 1 };
        self.members().saturating_mul(pixels).saturating_mul(samples)
    }
}

/// The maps that a norm covers, concatenated along channels.
pub(crate) struct NormCall<'a, B: Backend> {
    pub norm: &'a Norm,
    pub maps: &'a [&'a Map<B::Data>],
}

/// What a backend implements for a norm.
pub(crate) trait NormBackend: Backend {
    /// Sums over one map, from which statistics can be merged: count, mean and squared deviations of each channel.
    type Partial;

    /// Mean and biased variance over all values that share them.
    type Merged;

    /// The partial statistics of one map.
    fn partial(&mut self, map: &Map<Self::Data>) -> Tried<Self::Partial>;

    /// Statistics over all values that share them, from the partial statistics of each of the norm's inputs.
    fn merge(&mut self, call: &NormCall<'_, Self>, partials: Vec<Self::Partial>) -> Tried<Self::Merged>;

    /// What readers apply. With `Pass::Train` the running statistics are updated.
    fn finish(&mut self, call: &NormCall<'_, Self>, merged: Self::Merged, pass: Pass) -> Tried<Self::Statistics>;

    /// What readers apply in evaluation, computed from the running statistics.
    fn running(&mut self, call: &NormCall<'_, Self>, running: &Running) -> Tried<Self::Statistics>;

    /// Adds the gradients of scale and shift to the window's sums, and turns the gradients after norm and activation (one per
    /// input) into the gradients of the inputs, in place.
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

    /// The gradients of the norm's inputs, replacing those after the norm.
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

/// The cost of this many passes over the maps.
fn cost<D>(passes: f64, maps: &[&Map<D>]) -> Cost {
    let values: u64 = maps.iter().map(|map| map.shape().values()).sum();
    Cost::moving(passes * values as f64)
}
