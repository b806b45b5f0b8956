//! The networks: each file lists the blocks of one. What they have in common is `network`.

mod frunet;
mod kind;
mod options;
mod resunet;
mod size;
mod unet;
mod wnet;

pub use kind::{NetworkKind, all, build, register};
pub(crate) use kind::{standard, variants};
pub use size::Size;
pub use unet::UNetConfig;
