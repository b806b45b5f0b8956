//! Sources of image and mask pairs, and the stages that prepare them: plain buffers in, plain buffers out, no device.

mod payload;

pub use payload::{Batch, ImagePair, Normalization, SampleFiles};
