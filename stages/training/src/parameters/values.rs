//! Values on their way to a device: in host memory first, then as tensors. On a graphics device the tensors of a list share a
//! buffer (`flat`); on the CPU each has its own memory.

use burn::tensor::{DType, Device, Tensor, TensorData};
use pipeline_contract::Result;

#[cfg(feature = "graphics")]
use super::flat::Limits;
use super::layout::Role;

/// The values of a network's tensors in host memory, in the order of the layout.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Of the trained tensors, in the order of their slots.
    pub trained: Vec<Vec<f32>>,
    /// Of batch norm's running statistics, in the order of their slots.
    pub statistics: Vec<Vec<f32>>,
    /// Batch norm's counters, in the order of their slots.
    pub counters: Vec<u64>,
}

impl Values {
    /// Adds the next tensor of a role.
    pub fn push(&mut self, role: Role, values: Vec<f32>) {
        match role {
            Role::Trained => self.trained.push(values),
            Role::Statistic | Role::Counter => self.statistics.push(values),
        }
    }
}

/// Moves float32 values to a device.
pub(crate) fn upload(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), (device, DType::F32))
}

/// Moves the values of tensors that are changed together, such as weights or moments, to a device.
///
/// # Errors
/// When the host has no memory for a graphics device's buffer.
pub(crate) fn upload_all(values: Vec<Vec<f32>>, device: &Device) -> Result<Vec<Tensor<1>>> {
    #[cfg(feature = "graphics")]
    if let Some(limits) = Limits::of(device) {
        return limits.upload(values, device);
    }
    Ok(values.into_iter().map(|values| upload(values, device)).collect())
}

/// Zeros with the lengths of other tensors: for summing a window's gradients, or as an optimizer's initial state.
pub(crate) fn zeros(like: &[Tensor<1>], device: &Device) -> Vec<Tensor<1>> {
    zeros_of(&like.iter().map(|tensor| tensor.dims()[0]).collect::<Vec<_>>(), device)
}

/// Zeros of these lengths.
pub(super) fn zeros_of(lengths: &[usize], device: &Device) -> Vec<Tensor<1>> {
    #[cfg(feature = "graphics")]
    if let Some(limits) = Limits::of(device) {
        return limits.zeros(lengths, device);
    }
    lengths.iter().map(|&length| Tensor::zeros([length], (device, DType::F32))).collect()
}
