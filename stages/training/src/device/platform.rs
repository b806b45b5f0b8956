//! Which kernels a device runs (CPU or graphics).

use burn::tensor::Device;

use super::opened::is_cpu;

/// The set of kernels that a device runs, which determines what a pass costs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Our kernels on the CPU.
    Cpu,
    /// Kernels on a graphics device, including a software renderer on the CPU.
    Graphics,
}

impl Platform {
    /// The platform of an opened device.
    pub fn of(device: &Device) -> Self {
        if is_cpu(device) { Self::Cpu } else { Self::Graphics }
    }

    /// True where a plan counts every allocation of a run. On other platforms an allocator rounds up and keeps pages, so a
    /// plan is an estimate until the device has rehearsed it.
    pub fn plans_exactly(self) -> bool {
        self == Self::Cpu
    }

    /// True for the platform that others are compared with.
    pub fn is_reference(self) -> bool {
        self == Self::Cpu
    }
}
