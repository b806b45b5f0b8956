//! What is wrong with a JPEG file that its decoder reads without a word: cut off, damaged inside, of another kind. Makes no pixels.

mod bits;
mod blocks;
mod header;
mod huffman;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use header::{is_complete, unsupported};
pub(crate) use walk::damage;
