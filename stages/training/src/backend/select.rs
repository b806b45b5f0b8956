//! Selects the backend for a device. This is the only place that decides it.

use burn::tensor::{Device, Tensor};

use super::counting::{Costs, Counting};
use super::runtime::Runtime;
use super::work::{Site, Work};
use super::{cpu, graphics};
use crate::device::Platform;
use crate::memory::Tried;
use crate::precision::Precision;

/// Runs a pass on the backend of the tensors' device. Returns its output and the losses of the samples, still on the device.
pub(crate) fn run<W: Work>(site: Site<'_>, work: W) -> Tried<(W::Output, Vec<Tensor<1>>)> {
    #[cfg(feature = "graphics")]
    if Platform::of(site.state.device()) == Platform::Graphics {
        return graphics::run(site, work);
    }
    cpu::run(site, work)
}

/// What a device does with tensors outside of passes.
pub(crate) fn of(device: &Device) -> &'static dyn Runtime {
    #[cfg(feature = "graphics")]
    if Platform::of(device) == Platform::Graphics {
        return &graphics::GraphicsRuntime;
    }
    let _ = device;
    &cpu::CpuRuntime
}

/// The costs of a backend alone, for plans.
pub(crate) fn counting(platform: Platform, precision: Precision) -> Counting {
    let costs: &'static dyn Costs = match platform {
        Platform::Cpu => &cpu::CpuCosts,
        Platform::Graphics => &graphics::GraphicsCosts,
    };
    Counting::new(costs, precision)
}
