//! The 2x2 transposed convolution with stride 2, which doubles a map's sides, and its gradients.

mod forward;
mod input;
mod tile;
mod weight;
mod windows;

pub use forward::upsample;
pub use input::upsample_input_gradient;
pub use weight::upsample_weight_gradient;

use crate::Area;

/// Number of workspace values that [`upsample`] and its gradients need in a pool with as many threads as the current one.
pub fn upsample_workspace(inputs: usize, outputs: usize, _area: Area) -> usize {
    let cuts = [tile::Cut::new(inputs, outputs * 4), tile::Cut::new(outputs * 4, inputs)];
    let most = cuts.iter().map(|cut| cut.workspace()).fold(weight::workspace(), usize::max);
    most * rayon::current_num_threads()
}
