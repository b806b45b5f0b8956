//! The device's memory by cause: every tensor on the device's thread is charged here before it is allocated.
//! A plan charges the same causes in the same order without allocating tensors, so the two can be compared.

mod fault;
mod ledger;

pub(crate) use fault::{Fault, OutOfMemory, Tried};
pub use ledger::{Charge, Ledger, Snapshot};

/// What device memory is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The network's tensors: trained weights and running statistics. float32.
    Weights,
    /// The gradients of the window, summed over its micro-batches. float32.
    Gradients,
    /// What the optimizer keeps for each weight. float32.
    Optimizer,
    /// The moving average of the trained weights. float32.
    Average,
    /// The micro-batch's images.
    Batch,
    /// Maps kept from the forward pass for the backward pass.
    Saved,
    /// Maps that are being made or used right now.
    Working,
    /// What kernels need besides their inputs and outputs.
    Workspace,
}

impl Cause {
    /// All causes, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::Weights,
        Self::Gradients,
        Self::Optimizer,
        Self::Average,
        Self::Batch,
        Self::Saved,
        Self::Working,
        Self::Workspace,
    ];

    /// Its name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Gradients => "gradients",
            Self::Optimizer => "optimizer",
            Self::Average => "average_weights",
            Self::Batch => "batch",
            Self::Saved => "saved_activations",
            Self::Working => "working_set",
            Self::Workspace => "workspace",
        }
    }
}
