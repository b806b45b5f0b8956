//! A network as a graph of layers in blocks, and the passes over it: forward, backward, and with checkpointing.
//! It knows no particular network (those are in `networks`) and no device.

mod backward;
mod builder;
mod checkpointing;
mod forward;
mod graph;
mod liveness;
mod node;
mod norms;
mod tape;
#[cfg(test)]
mod tests;

pub use builder::{Builder, Heads};
pub use checkpointing::Checkpointing;
pub use graph::Network;
pub use node::{Block, Node, NodeId, Supervised};
pub(crate) use norms::BlockNorm;
