//! The tensors of a network on a device: flat, in the order of the layout.
//! Cloning shares memory; a shared tensor is copied when one side changes it.

use burn::tensor::{DType, Device, Tensor, TensorData};
use pipeline_contract::{Result, Rng, StageError};
use rand::RngExt as _;

use super::{Init, Layout, Role};

/// The tensors of a network on one device. Cloning shares the memory until one side is changed.
#[derive(Debug, Clone)]
pub struct State {
    /// The trained tensors, each flat, in the order of their slots. float32.
    pub trained: Vec<Tensor<1>>,
    /// The running statistics of batch norm, each flat, in the order of their slots. float32.
    pub statistics: Vec<Tensor<1>>,
    /// The counters of batch norm, in the order of their slots.
    pub counters: Vec<u64>,
    device: Device,
}

impl State {
    /// Fresh tensors, initialised as in PyTorch; `rng` gives each tensor its own generator by name.
    ///
    /// # Errors
    /// When the sizes overflow, or there isn't enough memory for them.
    pub fn fresh(layout: &Layout, device: &Device, rng: impl Fn(&str) -> Rng) -> Result<Self> {
        let mut state = Self::empty(device);
        for spec in layout.specs() {
            let count = spec.elements().ok_or_else(|| StageError::new(format!("the size of {} overflows", spec.name)))?;
            let mut values: Vec<f32> = Vec::new();
            // A file may name a network larger than the machine: running out of memory must be an error, not an abort.
            values.try_reserve_exact(count).map_err(|_| {
                StageError::new(format!("no memory for the {count} values of {}", spec.name))
                    .help("reduce base or depth; `pipeline plan` shows what a network needs")
            })?;
            match spec.init {
                Init::Uniform { fan_in } => {
                    let (bound, mut rng) = (1.0 / (fan_in as f32).sqrt(), rng(&spec.name));
                    values.extend((0..count).map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound));
                }
                Init::One => values.resize(count, 1.0),
                Init::Zero => values.resize(count, 0.0),
            }
            match spec.role {
                Role::Counter => state.counters.push(0),
                role => state.push(role, values),
            }
        }
        Ok(state)
    }

    /// Zeros with the network's sizes, for a dry run that only needs the memory.
    pub(crate) fn zeros(layout: &Layout, device: &Device) -> Self {
        let mut state = Self::empty(device);
        for spec in layout.specs() {
            let zeros = || Tensor::zeros([spec.elements().unwrap_or(0)], (device, DType::F32));
            match spec.role {
                Role::Trained => state.trained.push(zeros()),
                Role::Statistic => state.statistics.push(zeros()),
                Role::Counter => state.counters.push(0),
            }
        }
        state
    }

    /// No tensors yet; they are pushed in the order of the layout.
    pub(crate) fn empty(device: &Device) -> Self {
        Self { trained: Vec::new(), statistics: Vec::new(), counters: Vec::new(), device: device.clone() }
    }

    /// Adds the next tensor of a role.
    pub(crate) fn push(&mut self, role: Role, values: Vec<f32>) {
        let tensor = upload(values, &self.device);
        match role {
            Role::Trained => self.trained.push(tensor),
            Role::Statistic | Role::Counter => self.statistics.push(tensor),
        }
    }

    /// The device that the tensors are on.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// Moves float32 values to a device.
pub(crate) fn upload(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), (device, DType::F32))
}

/// Zeros with the lengths of the trained tensors: for summing a window's gradients, or as an optimizer's initial state.
pub(crate) fn zeros(trained: &[Tensor<1>], device: &Device) -> Vec<Tensor<1>> {
    trained.iter().map(|tensor| Tensor::zeros(tensor.dims(), (device, DType::F32))).collect()
}
