//! CubeCL kernels for everything between the convolutions, each in one pass over its maps, or two where a sum over pixels is
//! needed first. Element-wise tensor operations would read and write every map once per operator in a formula, and hold two or
//! three maps in between; these kernels hold none.
//!
//! Arithmetic and sums are float32, whatever type maps are stored in.

mod accumulate;
mod activation;
mod bias;
mod bytes;
mod channels;
mod convolution;
mod head;
mod loss;
mod moments;
mod nhwc;
mod norm;
mod normed;
mod partial;
mod pool;
mod products;
mod sets;
mod statistics;
mod step;
#[cfg(test)]
mod tests;
mod units;

pub(super) use accumulate::accumulate;
pub(super) use activation::activate;
pub(super) use bias::bias;
pub(super) use bytes::{integers, lookup};
pub(super) use convolution::{
    Chip, Convolution, Packs, Wanted, Weight, chip, convolve, convolve_input, convolve_weight, upsample, upsample_input,
    upsample_weight,
};
pub(super) use head::{head, head_bias, head_input, head_weight};
pub(super) use loss::loss;
pub(super) use nhwc::{Memory, memory};
pub(super) use norm::{Parameters, norm_input};
pub(super) use normed::{Normed, Read};
pub(super) use partial::Partial;
pub(super) use pool::{pool, pool_input};
pub(super) use products::products;
pub(super) use statistics::{Merged, join, merge, partial};
pub(super) use step::{Trained, adam, average, sgd, squares};
