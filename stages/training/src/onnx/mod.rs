//! Trained networks as ONNX files, which other programs run (onnxruntime, OpenVINO, TensorRT, OpenCV). ONNX's specification is at
//! <https://onnx.ai/onnx>. The network's graph is translated node by node (`translation`, `layers`, `norms`), put between an 8-bit photograph and probabilities
//! (`model`), and checked by an interpreter (`interpreter`) before it is written. Nothing here reads foreign ONNX files.

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
