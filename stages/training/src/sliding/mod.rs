//! Prediction window by window, for images that are too large for the network at once: where windows lie ([`Windows`]), and how their
//! predictions become one map ([`predict`]). The network itself is the caller's.

mod predict;
mod probabilities;
mod windows;

pub use predict::predict;
pub use probabilities::to_probabilities;
pub use windows::Windows;
