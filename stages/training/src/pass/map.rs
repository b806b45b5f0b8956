//! Activation maps on the device.

use std::sync::Arc;

use pipeline_kernels::Area;

use crate::memory::Charge;

/// The size of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Batch, height and width.
    pub area: Area,
}

impl Shape {
    /// Number of values.
    pub fn values(self) -> u64 {
        self.area.values(self.channels) as u64
    }
}

/// A map on the device, `[batch, channels, height, width]`. Dropping it frees its memory and its charge.
#[derive(Debug)]
pub(crate) struct Map<D> {
    pub data: D,
    pub channels: usize,
    pub area: Area,
    pub(super) charge: Charge,
}

impl<D> Map<D> {
    /// Books the map as saved for the backward pass of a block.
    pub fn save(&mut self, block: &Arc<str>) {
        self.charge.save(block);
    }

    /// Books the map as part of the working set.
    pub fn work(&mut self) {
        self.charge.work();
    }

    pub fn shape(&self) -> Shape {
        Shape { channels: self.channels, area: self.area }
    }
}
