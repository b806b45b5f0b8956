//! An opened device, and what its driver reports about it.

use burn::tensor::Device;
use serde::Serialize;

/// An opened device and its description.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device, without autodiff.
    pub device: Device,
    /// The device that was taken, in words, such as `cpu (auto: this build holds no other device)`.
    pub description: String,
}

/// What a driver reports about its device; `None` where nothing is reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// The interface through which the device is reached, such as `vulkan` or `cuda`.
    pub interface: Option<String>,
    /// The driver's name and version.
    pub driver: Option<String>,
    /// Bytes of the device's own memory.
    pub memory: Option<u64>,
}

/// True for the CPU backend (not for a software renderer, which is a graphics device on the CPU).
pub(super) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}
