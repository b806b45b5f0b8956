//! Figures of a segmentation against its masks, gathered image by image in bounded memory, on the CPU.
//! They take probabilities, logits or classes; they know no network.

mod classes;
mod confusion;
mod dice;
mod roc;

pub use classes::{OneClass, PerClass, argmax};
pub use confusion::Confusion;
pub use dice::MeanDice;
pub use roc::RocAuc;
