//! Which backend a device has. Nothing else asks.

use burn::tensor::{Device, Tensor};

use super::counting::Counting;
use super::runtime::Runtime;
use super::work::{Site, Work};
use super::{cpu, graphics};
#[cfg(feature = "graphics")]
use crate::device::is_cpu;
use crate::memory::Tried;
use crate::precision::Precision;

/// Runs a pass on the backend of the tensors' device. Gives its output and the losses of the samples, still on the device.
pub(crate) fn run<W: Work>(site: Site<'_>, work: W) -> Tried<(W::Output, Vec<Tensor<1>>)> {
    #[cfg(feature = "graphics")]
    if !is_cpu(site.state.device()) {
        return graphics::run(site, work);
    }
    cpu::run(site, work)
}

/// What a device does for tensors outside of passes.
pub(crate) fn of(device: &Device) -> &'static dyn Runtime {
    #[cfg(feature = "graphics")]
    if !is_cpu(device) {
        return &graphics::GraphicsRuntime;
    }
    let _ = device;
    &cpu::CpuRuntime
}

/// The costs of a backend by itself, for plans: on the CPU or on a graphics device.
pub(crate) fn counting(on_cpu: bool, precision: Precision) -> Counting {
    Counting::new(if on_cpu { &cpu::CpuCosts } else { &graphics::GraphicsCosts }, precision)
}
