//! The network, its devices, losses, optimizers and policies, and the stages that run them. Only this crate touches a
//! device; it doesn't read images from disk and doesn't know the graph.

mod backend;
pub mod device;
mod files;
mod forecast;
pub mod layer;
pub mod loss;
pub mod memory;
pub mod micro_batch;
pub mod model;
pub mod network;
pub mod networks;
pub mod onnx;
pub mod optimizer;
pub mod parameters;
mod pass;
pub mod plan;
pub mod policy;
mod precision;
pub mod schedule;
pub mod sliding;
pub mod stages;
pub mod trainee;
pub mod verify;
pub mod weights;
pub mod window;

pub use precision::Precision;
pub use stages::kinds;
pub use verify::verify;
