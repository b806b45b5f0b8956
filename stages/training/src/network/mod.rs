//! The networks: their layers, the blocks that these form, and the tensors that they own.
//! No arithmetic, no optimizer and no file format here.

mod block;
mod blocks;
mod config;
mod layers;
mod layout;
mod norms;
pub(crate) mod saved;
mod state;
mod unet;

pub use block::{Block, Prelude, Source};
pub use blocks::{Blocks, Checkpointing};
pub(crate) use config::NORMS;
pub use config::UNetConfig;
pub use layers::{Convolution, Head, Norm, NormKind, Running, Upsample};
pub use layout::{Init, Layout, Role, TensorSpec};
pub(crate) use norms::BlockNorm;
pub use state::State;
pub(crate) use state::{upload, zeros};
pub use unet::UNet;
