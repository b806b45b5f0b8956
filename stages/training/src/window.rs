//! Gradients on their way to a step: of one micro-batch, and summed over a window in place.
//! Nothing is divided here: the mean over the window's samples is taken where the step is made.

use std::sync::Arc;

use burn::tensor::Tensor;
use pipeline_contract::Payload;

use crate::trainee::Shared;

/// What one micro-batch contributes to its window.
#[derive(Clone)]
pub struct Gradients {
    /// The gradients of the SUM of the samples' losses, in the order of the network's trained tensors.
    pub gradients: Vec<Tensor<1>>,
    /// The loss of each sample, `[batch]`, still on the device.
    pub losses: Tensor<1>,
    /// The samples' ids, in order.
    pub samples: Vec<Arc<str>>,
    /// The network that they belong to.
    pub network: Shared,
}

impl Payload for Gradients {
    const NAME: &'static str = "gradients";

    /// Nothing: the tensors are the device's memory, one set of them at a time.
    fn bytes(&self) -> u64 {
        0
    }
}

/// All micro-batches of one step.
#[derive(Clone)]
pub struct Window {
    /// The gradients of the SUM of all samples' losses.
    pub gradients: Vec<Tensor<1>>,
    /// The losses of each micro-batch's samples, still on the device.
    pub losses: Vec<Tensor<1>>,
    /// The samples' ids, in order.
    pub samples: Vec<Arc<str>>,
    /// How many micro-batches there were.
    pub micro_batches: usize,
    /// The network that they belong to.
    pub network: Shared,
}

impl Payload for Window {
    const NAME: &'static str = "window";

    /// Nothing: the tensors are the device's memory, one set of them at a time.
    fn bytes(&self) -> u64 {
        0
    }
}

impl Window {
    /// A window of one micro-batch so far.
    fn new(first: Gradients) -> Self {
        let Gradients { gradients, losses, samples, network } = first;
        Self { gradients, losses: vec![losses], samples, micro_batches: 1, network }
    }

    /// Adds a micro-batch to a window, or starts one with it.
    pub fn gather(window: &mut Option<Self>, next: Gradients) {
        match window {
            Some(window) => window.add(next),
            None => *window = Some(Self::new(next)),
        }
    }

    /// Adds a micro-batch; each of its gradients is freed as soon as it is added.
    fn add(&mut self, next: Gradients) {
        let sums = std::mem::take(&mut self.gradients);
        self.gradients = sums.into_iter().zip(next.gradients).map(|(sum, gradient)| sum + gradient).collect();
        self.losses.push(next.losses);
        self.samples.extend(next.samples);
        self.micro_batches += 1;
    }
}
