//! A device that was opened, and what its driver says about it.

use burn::tensor::Device;
use serde::Serialize;

/// A device and what it is, in words.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device, without autodiff.
    pub device: Device,
    /// What was taken, such as `cpu (auto: this build holds no other device)`.
    pub description: String,
}

/// What a driver says of its device; `None` where nobody says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct About {
    /// The interface by which the device is reached, such as `vulkan` or `cuda`.
    pub interface: Option<String>,
    /// The driver's name and version.
    pub driver: Option<String>,
    /// Bytes of memory of its own.
    pub memory: Option<u64>,
}

/// True for the CPU's own backend (not for a graphics card that is drawn by the CPU).
pub(super) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}
