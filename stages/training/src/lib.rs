//! The network, its devices, losses, optimizers and policies, and the stages that run them. Only this crate touches a
//! device; it reads no images from disk and knows no graph.

mod compute;
pub mod device;
mod files;
pub mod loss;
pub mod memory;
pub mod metrics;
pub mod micro_batch;
pub mod network;
pub mod optimizer;
pub mod plan;
pub mod policy;
pub mod schedule;
pub mod stages;
pub mod trainee;
pub mod verify;
pub mod weights;
pub mod window;

pub use compute::Precision;
pub use stages::kinds;
pub use verify::verify;
