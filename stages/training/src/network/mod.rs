//! The networks: their layers with explicit forward and backward passes, and the tensors that they own.
//! No loss, no optimizer and no file format here.

mod config;
mod convolution;
mod head;
mod layout;
mod level;
mod norm;
mod pool;
mod state;
mod unet;
mod upsample;

pub(crate) use config::NORMS;
pub use config::UNetConfig;
pub use convolution::Algorithm;
pub use layout::{Init, Layout, Role, TensorSpec};
pub use norm::NormKind;
pub use state::State;
pub(crate) use state::{Gradients, upload};
pub use unet::{Tape, UNet};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// Training: batch norm uses the batch's statistics and updates the running ones; the tape is kept.
    Train,
    /// Evaluation: batch norm uses the running statistics; nothing is kept.
    Evaluate,
}
