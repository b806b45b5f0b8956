//! The backends: our kernels on the CPU, kernels on graphics devices, and counting, which computes nothing. A pass runs on the
//! backend of its network's device; this is the only place that chooses one.

mod counting;
mod cpu;
mod graphics;
mod runtime;
pub(crate) mod transfer;

pub(crate) use counting::Counting;
pub(crate) use runtime::{Rule, Runtime, Update};

use burn::tensor::{Device, Tensor};
use pipeline_images::Normalization;

use crate::layer::LayerBackend;
use crate::loss::LossBackend;
use crate::memory::{Ledger, Tried};
use crate::parameters::State;
use crate::pass::Executor;
use crate::precision::Precision;

/// The normalisation by which a device's floats of 8-bit pixels are compared with the CPU's: that of ImageNet.
pub(crate) const NORMALIZATION: Normalization = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/// The tensors that a pass works on.
pub(crate) struct Site<'a> {
    pub state: &'a mut State,
    /// The window's sums, in the order of the trained tensors; empty where no backward pass is made.
    pub gradients: &'a mut [Tensor<1>],
    pub precision: Precision,
    pub ledger: Ledger,
}

/// A pass over a network, on any backend.
pub(crate) trait Work {
    type Output;

    fn run<B: LayerBackend + LossBackend>(self, e: &mut Executor<B>) -> Tried<Self::Output>;
}

/// Runs a pass on the backend of the tensors' device. Gives its output and the losses of the samples, still on the device.
pub(crate) fn run<W: Work>(site: Site<'_>, work: W) -> Tried<(W::Output, Vec<Tensor<1>>)> {
    #[cfg(feature = "graphics")]
    if !crate::device::is_cpu(site.state.device()) {
        return graphics::run(site, work);
    }
    cpu::run(site, work)
}

/// What a device does for tensors outside of passes.
pub(crate) fn of(device: &Device) -> &'static dyn Runtime {
    #[cfg(feature = "graphics")]
    if !crate::device::is_cpu(device) {
        return &graphics::GraphicsRuntime;
    }
    let _ = device;
    &cpu::CpuRuntime
}

/// The costs of a backend by itself, for plans: on the CPU or on a graphics device.
pub(crate) fn counting(is_cpu: bool, precision: Precision) -> Counting {
    Counting::new(if is_cpu { &cpu::CpuCosts } else { &graphics::GraphicsCosts }, precision)
}
