//! Where a stage emits its items.

use std::sync::Arc;

use crate::{Item, Payload, Result};

/// Where a stage's items go: to every consumer of its output port.
pub struct Output<'a, T> {
    epoch: u64,
    sink: &'a mut dyn FnMut(Item) -> Result<()>,
    payload: std::marker::PhantomData<fn(T)>,
}

impl<'a, T: Payload> Output<'a, T> {
    /// An output that hands its items to `sink`; the engine makes these, and tests of single stages do.
    pub fn new(epoch: u64, sink: &'a mut dyn FnMut(Item) -> Result<()>) -> Self {
        Self { epoch, sink, payload: std::marker::PhantomData }
    }

    /// Emits one payload that belongs to `sample`; waits while the edge is full.
    ///
    /// # Errors
    /// [`StageError::stopped`](crate::StageError::stopped) when the run stops; hand it on with `?`.
    pub fn emit(&mut self, sample: impl Into<Arc<str>>, payload: T) -> Result<()> {
        (self.sink)(Item::new(self.epoch, sample, payload))
    }
}

/// The output type of stages that never emit.
#[derive(Debug, Clone)]
pub enum Nothing {}

impl Payload for Nothing {
    const NAME: &'static str = "nothing";
    fn bytes(&self) -> u64 {
        match *self {}
    }
}
