//! The transposed convolution of 2x2 and stride 2 that doubles a map's sides, and its gradients.

mod forward;
mod input;
mod tile;
mod weight;
mod windows;

pub use forward::upsample;
pub use input::upsample_input_gradient;
pub use weight::upsample_weight_gradient;

use crate::Area;

/// Values of the workspace of [`upsample`] and its gradients in a pool of as many threads as the current one's.
pub fn upsample_workspace(inputs: usize, outputs: usize, _area: Area) -> usize {
    let cuts = [tile::Cut::new(inputs, outputs * 4), tile::Cut::new(outputs * 4, inputs)];
    let most = cuts.iter().map(|cut| cut.workspace()).fold(weight::workspace(), usize::max);
    most * rayon::current_num_threads()
}
