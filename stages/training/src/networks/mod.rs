//! The networks: each file lists the blocks of one network. What they share is in `network`.

mod frunet;
mod kind;
mod list;
mod options;
mod resunet;
mod size;
mod unet;
mod wnet;

pub use kind::NetworkKind;
pub use list::{all, build, register};
pub(crate) use list::{build_with, options, standard, variants};
pub use size::Size;
pub use unet::UNetConfig;
