//! Activation maps on the device, and how a layer reads one.

use std::sync::Arc;

use pipeline_kernels::Area;

use super::Backend;
use crate::memory::{Charge, Tried};

/// The size of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Batch, height and width.
    pub area: Area,
}

impl Shape {
    /// How many values it has.
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

/// The result of an operation that makes a map.
pub(crate) type Made<B> = Tried<Map<<B as Backend>::Data>>;

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

/// A map as a layer reads it: as it is, or through a norm and its activation, whose result is never stored.
pub(crate) struct Input<'a, B: Backend> {
    pub map: &'a Map<B::Data>,
    pub through: Option<Through<'a, B>>,
}

/// The norm that a map is read through.
pub(crate) struct Through<'a, B: Backend> {
    pub statistics: &'a B::Statistics,
    /// Which of the norm's inputs the map is.
    pub part: usize,
}

impl<'a, B: Backend> Input<'a, B> {
    /// A map as it is.
    pub fn plain(map: &'a Map<B::Data>) -> Self {
        Self { map, through: None }
    }
}

impl<B: Backend> Clone for Input<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Input<'_, B> {}

impl<B: Backend> Clone for Through<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Through<'_, B> {}
