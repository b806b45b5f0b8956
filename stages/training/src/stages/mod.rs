//! The stages of the device's thread, one file per kind, each with its declaration.
//! The computations are in the modules above; here they are connected to the graph.

mod accumulate;
mod cleanup;
mod device_options;
mod evaluate;
mod export;
mod kinds;
mod masks;
mod optimizer_step;
mod own_options;
mod predict;
mod prediction;
mod rules;
mod step;
mod train_step;

pub(crate) use evaluate::tiles;
pub use kinds::kinds;
pub(crate) use optimizer_step::optimizer_keeps;
use own_options::own;
pub(crate) use prediction::Predicting;
pub use prediction::Tiling;
pub use step::Step;
pub(crate) use train_step::{loss_and_init, training};
