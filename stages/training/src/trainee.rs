//! A network in training: layers, tensors, loss. The stages of the device's thread share one; `verify` uses the same.
//! It makes gradients; it never changes weights (that is the optimizer's).

use std::sync::{Arc, Mutex, MutexGuard};

use burn::tensor::Tensor;
use pipeline_contract::{Result, StageError};

use crate::loss::Loss;
use crate::network::{State, UNet};
use crate::window::Gradients;

/// A network in training.
#[derive(Debug, Clone)]
pub struct Trainee {
    /// The layers.
    pub network: UNet,
    /// The tensors.
    pub state: State,
    /// The loss.
    pub loss: Loss,
}

/// A network that several stages use, all on the device's thread, one after the other.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Trainee>>);

impl Shared {
    /// Shares a network.
    pub fn new(trainee: Trainee) -> Self {
        Self(Arc::new(Mutex::new(trainee)))
    }

    /// The network.
    ///
    /// # Errors
    /// When a stage panicked while it changed the network.
    pub fn lock(&self) -> Result<MutexGuard<'_, Trainee>> {
        self.0.lock().map_err(|_| StageError::new("another stage panicked while it held the network"))
    }

    /// The gradients of one micro-batch: images `[batch, 3, height, width]`, masks `[batch, 1, height, width]`. Batch norm's
    /// running statistics move; the weights don't.
    ///
    /// # Errors
    /// When the images don't fit the network.
    pub fn gradients(&self, images: Tensor<4>, masks: Tensor<4>, samples: Vec<Arc<str>>) -> Result<Gradients> {
        let mut trainee = self.lock()?;
        let Trainee { network, state, loss } = &mut *trainee;
        let [batch, _, height, width] = images.dims();
        network.accepts(batch, height, width)?;
        let (logits, tape) = network.forward(state, images);
        let losses = loss.evaluate(logits, masks);
        let gradients = network.backward(state, tape, losses.gradient)?;
        Ok(Gradients { gradients, losses: losses.samples, samples, network: self.clone() })
    }
}
