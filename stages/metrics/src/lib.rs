//! Figures that compare segmentations with their masks, on the CPU: slices in, numbers out. They take probabilities, logits or
//! classes and know no network, no device and no file.

mod classes;
mod confusion;
mod dice;
mod roc;

pub use classes::{OneClass, PerClass, argmax};
pub use confusion::Confusion;
pub use dice::MeanDice;
pub use roc::RocAuc;
