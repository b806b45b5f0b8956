//! Figures of a segmentation against its masks, gathered image by image in bounded memory, on the CPU.
//! They take probabilities or logits; they know no network.

mod confusion;
mod dice;
mod roc;

pub use confusion::Confusion;
pub use dice::MeanDice;
pub use roc::RocAuc;
