//! The network, its devices, losses, optimizers and policies, and the stages that run them. Only this crate touches a
//! device; it reads no images from disk and knows no graph.

pub mod device;
mod files;
pub mod loss;
pub mod metrics;
pub mod network;
pub mod optimizer;
pub mod schedule;
pub mod stages;
pub mod trainee;
mod transfer;
pub mod verify;
pub mod weights;
pub mod window;

pub use stages::kinds;
pub use verify::verify;
