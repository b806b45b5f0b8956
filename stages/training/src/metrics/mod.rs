//! Figures that compare segmentations with their masks, gathered image by image in bounded memory on the CPU.
//! They take probabilities, logits or classes and don't depend on a network.

mod classes;
mod confusion;
mod dice;
mod roc;

pub use classes::{OneClass, PerClass, argmax};
pub use confusion::Confusion;
pub use dice::MeanDice;
pub use roc::RocAuc;
