//! The network's layers on the CPU: plain functions over slices. They depend on no tensor library, allocate nothing, and
//! return the same bytes for any number of threads.
//!
//! Maps are `[batch, channels, height, width]`, row after row, stored as float32, float16 or bfloat16; all arithmetic is in
//! float32. Weights and their gradients are float32 in PyTorch's layouts.

mod activation;
mod average;
mod bands;
mod bias;
mod cells;
mod convolution;
mod dispatch;
mod element;
mod elementwise;
mod loss;
mod nearest;
mod norm;
mod optimizer;
mod parallel;
mod pointwise;
mod pool;
mod probabilities;
mod rows;
mod sums;
mod upsample;
mod view;

pub use activation::Activation;
pub use average::average;
pub use bias::channel_sums;
pub use convolution::{
    ConvolutionShape, Geometry, convolve, convolve_input_gradient, convolve_input_gradient_workspace, convolve_weight_gradient,
    convolve_weight_gradient_workspace, convolve_workspace,
};
pub use element::Element;
pub use elementwise::{activation_gradient, add_wide, round, sum};
pub use loss::{Targets, Term, WeightedTerm, loss, loss_workspace, target_at};
pub use nearest::{upsample_nearest, upsample_nearest_gradient};
pub use norm::{moments, norm_input_gradient, norm_sums};
pub use optimizer::{AdamNumbers, AdamStep, SgdStep, adam, sgd};
pub use pointwise::{pointwise, pointwise_input_gradient, pointwise_weight_gradient};
pub use pool::{pool, pool_gradient};
pub use probabilities::{probabilities, probabilities_gradient};
pub use sums::{add, all_finite, sum_of_squares};
pub use upsample::{upsample, upsample_input_gradient, upsample_weight_gradient, upsample_workspace};
pub use view::{Area, View};
