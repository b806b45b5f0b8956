//! The optimizers, with PyTorch's arithmetic, and the step that a window makes.
//! Learning rates come from outside (`schedule`); state is named by the network's tensors, for checkpoints.

mod adam;
mod saved;
mod sgd;
mod step;

pub use adam::Adam;
pub use sgd::Sgd;
pub use step::{Figures, Optimizer, Rule};
