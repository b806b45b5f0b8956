//! The tensors of a network on a device, and the gradients of its trained ones: flat, in the order of the layout.
//! How a tensor is used is the layers' business; how it is stored in a file is `weights`'.

use burn::tensor::{DType, Device, Tensor, TensorData};
use pipeline_contract::{Result, Rng, StageError};
use rand::RngExt as _;

use super::{Algorithm, Init, Layout, Role};

/// The tensors of a network on one device. Cloning shares the memory until one side is changed.
#[derive(Debug, Clone)]
pub struct State {
    /// The trained tensors, each flat, in the order of their slots. float32.
    pub trained: Vec<Tensor<1>>,
    /// The running statistics of batch norm, each flat, in the order of their slots. float32.
    pub statistics: Vec<Tensor<1>>,
    /// The counters of batch norm, in the order of their slots.
    pub counters: Vec<u64>,
    /// How convolutions are computed on this device.
    pub algorithm: Algorithm,
    device: Device,
}

impl State {
    /// Fresh tensors, started as PyTorch does; `rng` gives each tensor its own generator by its name.
    ///
    /// # Errors
    /// When the sizes overflow.
    pub fn fresh(layout: &Layout, device: &Device, rng: impl Fn(&str) -> Rng) -> Result<Self> {
        let mut state = Self::empty(device);
        for spec in layout.specs() {
            let count = spec.elements().ok_or_else(|| StageError::new(format!("the size of {} overflows", spec.name)))?;
            let values = match spec.init {
                Init::Uniform { fan_in } => {
                    let (bound, mut rng) = (1.0 / (fan_in as f32).sqrt(), rng(&spec.name));
                    (0..count).map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound).collect()
                }
                Init::One => vec![1.0; count],
                Init::Zero => vec![0.0; count],
            };
            match spec.role {
                Role::Counter => state.counters.push(0),
                role => state.push(role, values),
            }
        }
        Ok(state)
    }

    /// No tensors yet; they are pushed in the order of the layout.
    pub(crate) fn empty(device: &Device) -> Self {
        Self {
            trained: Vec::new(),
            statistics: Vec::new(),
            counters: Vec::new(),
            algorithm: Algorithm::of(device),
            device: device.clone(),
        }
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

    /// The trained tensor of a slot, in a shape.
    pub(crate) fn view<const D: usize>(&self, slot: usize, shape: [usize; D]) -> Tensor<D> {
        self.trained[slot].clone().reshape(shape)
    }
}

/// Moves float32 values to a device.
pub(crate) fn upload(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), (device, DType::F32))
}

/// The gradients of the trained tensors, each flat, in the order of their slots; filled by a backward pass.
#[derive(Debug, Clone)]
pub struct Gradients(Vec<Option<Tensor<1>>>);

impl Gradients {
    /// None yet.
    pub(crate) fn none(layout: &Layout) -> Self {
        Self(vec![None; layout.of(Role::Trained).count()])
    }

    /// Sets the gradient of a slot.
    pub(crate) fn set<const D: usize>(&mut self, slot: usize, gradient: Tensor<D>) {
        let length = gradient.shape().num_elements();
        self.0[slot] = Some(gradient.reshape([length]));
    }

    /// All gradients.
    ///
    /// # Errors
    /// When the backward pass left one out: a bug of the network.
    pub(crate) fn complete(self) -> Result<Vec<Tensor<1>>> {
        let all: Option<Vec<_>> = self.0.into_iter().collect();
        all.ok_or_else(|| StageError::new("the backward pass left a tensor without its gradient"))
    }
}
