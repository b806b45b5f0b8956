//! The payloads between `train_step` and `optimizer_step`. The gradients themselves stay with the network, where they are
//! summed; a payload names the samples and the network that they belong to.

use std::sync::Arc;

use pipeline_contract::Payload;

use crate::trainee::Shared;

/// One micro-batch whose gradients have been added to the open window.
#[derive(Clone)]
pub struct Gradients {
    /// The samples' ids, in order.
    pub samples: Vec<Arc<str>>,
    /// The network that they belong to.
    pub network: Shared,
}

impl Payload for Gradients {
    const NAME: &'static str = "gradients";

    /// Zero: the tensors are in device memory, and there is only one set of them at a time.
    fn bytes(&self) -> u64 {
        0
    }
}

/// All micro-batches of one step, once the open window is complete.
#[derive(Clone)]
pub struct Window {
    /// The samples' ids, in order.
    pub samples: Vec<Arc<str>>,
    /// The number of micro-batches.
    pub micro_batches: usize,
    /// The network that they belong to.
    pub network: Shared,
}

impl Payload for Window {
    const NAME: &'static str = "window";

    /// Zero: the tensors are in device memory, and there is only one set of them at a time.
    fn bytes(&self) -> u64 {
        0
    }
}

impl Window {
    /// Adds a micro-batch to a window, or starts one with it.
    pub fn gather(window: &mut Option<Self>, next: Gradients) {
        let Gradients { samples, network } = next;
        match window {
            Some(window) => {
                window.samples.extend(samples);
                window.micro_batches += 1;
            }
            None => *window = Some(Self { samples, micro_batches: 1, network }),
        }
    }
}
