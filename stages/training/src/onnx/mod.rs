//! Trained networks as ONNX files (<https://onnx.ai/onnx>), which other programs run. The network's graph is translated node by node
//! (`translation`, `layers`, `norms`), put between an 8-bit photograph and probabilities (`model`), and checked (`structure`,
//! `numbers`) before it is written. ONNX files of other programs aren't read.

mod about;
mod array;
mod graph;
mod interpreter;
mod layers;
mod maps;
mod model;
mod norms;
mod numbers;
mod proto;
mod structure;
#[cfg(test)]
mod tests;
mod translation;
mod write;

pub use about::About;
pub use write::{Written, write};
