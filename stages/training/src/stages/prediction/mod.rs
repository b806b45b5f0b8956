//! What networks say of images, for stages that measure it and stages that write it: whole or in tiles, of several networks, and turned.
//! Decides no mask and computes no figure.

mod ensemble;
mod members;
mod native;
mod output;
mod tiles;
mod turns;

pub(super) use ensemble::predict;
pub(crate) use members::Predicting;
pub(super) use members::{Members, channels, misfits, options};
pub(super) use native::{bring_back, lost};
pub(super) use output::NetworkOutput;
pub(super) use tiles::Tiles;
pub use tiles::Tiling;
pub(super) use turns::{Turn, turns};
