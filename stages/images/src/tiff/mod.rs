//! TIFF files: what their directories claim, how many pages they have, and their pixels.

mod altered;
mod directory;
mod pixels;
#[cfg(test)]
mod tests;

pub(crate) use directory::{is_big, is_plausible, pages};
pub(crate) use pixels::{Picture, Trouble};
