//! The tensors of a network on a device: flat, in the order of the layout.
//! Cloning shares memory; shared tensors are copied when one side changes them.

use burn::tensor::{Device, Tensor};
use pipeline_contract::{Result, Rng, StageError};
use rand::RngExt as _;

use super::layout::{Init, Layout, Role};
use super::values::{Values, upload, upload_all, zeros_of};

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
        let mut all = Values::default();
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
                Role::Counter => all.counters.push(0),
                role => all.push(role, values),
            }
        }
        Self::upload(all, device)
    }

    /// Zeros with the network's sizes, for a dry run that only needs the memory.
    pub(crate) fn zeros(layout: &Layout, device: &Device) -> Self {
        let lengths = |role| layout.of(role).map(|spec| spec.elements().unwrap_or(0)).collect::<Vec<_>>();
        let statistics = lengths(Role::Statistic).into_iter().flat_map(|length| zeros_of(&[length], device)).collect();
        let counters = vec![0; layout.of(Role::Counter).count()];
        Self { trained: zeros_of(&lengths(Role::Trained), device), statistics, counters, device: device.clone() }
    }

    /// Moves the values to a device.
    ///
    /// # Errors
    /// When there isn't enough memory for them in the host.
    pub(crate) fn upload(values: Values, device: &Device) -> Result<Self> {
        let Values { trained, statistics, counters } = values;
        // Running statistics are replaced one at a time, so each has its own memory.
        let statistics = statistics.into_iter().map(|values| upload(values, device)).collect();
        Ok(Self { trained: upload_all(trained, device)?, statistics, counters, device: device.clone() })
    }

    /// The device that the tensors are on.
    pub fn device(&self) -> &Device {
        &self.device
    }
}
