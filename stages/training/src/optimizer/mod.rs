//! The optimizers, with PyTorch's arithmetic, and the step taken for each window.
//! Learning rates come from `schedule`. For checkpoints, state is named after the network's tensors.

mod adam;
mod average;
mod saved;
mod sgd;
mod step;

pub use adam::Adam;
pub use sgd::Sgd;
pub use step::{Figures, Optimizer, Rule};
