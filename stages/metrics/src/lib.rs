//! Figures that compare segmentations with their masks, on the CPU: slices in, numbers out. They take probabilities, logits or
//! classes and know no network, no device and no file.
//!
//! [`ImageFigures`] has all figures of one image; [`RocAuc`] gathers the pixels of any number of images in bounded memory.

mod argmax;
mod background;
mod betti;
mod bootstrap;
mod cldice;
mod confusion;
mod distance;
mod edges;
mod hausdorff;
mod image;
mod mask;
mod percentile;
mod ranking;
mod ratios;
mod roc;
mod skeleton;

pub use argmax::argmax;
pub use background::Background;
pub use betti::Betti;
pub use bootstrap::bootstrap;
pub use cldice::ClDice;
pub use confusion::Confusion;
pub use hausdorff::hausdorff95;
pub use image::{Image, ImageFigures, mean, workspace};
pub use mask::Mask;
pub use ranking::{Ranked, Ranking};
pub use ratios::Ratios;
pub use roc::RocAuc;
pub use skeleton::{REMOVALS, skeleton};
