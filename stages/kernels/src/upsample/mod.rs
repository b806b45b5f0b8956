//! The transposed convolution of 2x2 and stride 2 that doubles a map's sides, and its gradients.

mod forward;
mod input;
mod tile;
mod weight;

pub use forward::upsample;
pub use input::upsample_input_gradient;
pub use weight::upsample_weight_gradient;

use crate::rows::ROW;
use crate::{Area, Element};

/// Values of the workspace of [`upsample`] and its gradients in a pool of as many threads as the current one's.
pub fn upsample_workspace(inputs: usize, outputs: usize, _area: Area) -> usize {
    let cuts = [tile::Cut::new(inputs, outputs * 4), tile::Cut::new(outputs * 4, inputs)];
    let most = cuts.iter().map(|cut| cut.workspace()).fold(weight::workspace(), usize::max);
    most * rayon::current_num_threads()
}

/// Reads one row of the windows of some pixels, `start` and on, of a plane twice as wide and high: the left and right values.
#[inline(always)]
fn windows<E: Element>(plane: &[E], width: usize, lower: usize, start: usize, left: &mut [f32], right: &mut [f32]) {
    let mut row = [0.0; 2 * ROW];
    let mut done = 0;
    while done < left.len() {
        let (y, x) = ((start + done) / width, (start + done) % width);
        let length = (width - x).min(left.len() - done);
        let row = &mut row[..2 * length];
        E::widen(&plane[((2 * y + lower) * width + x) * 2..][..2 * length], row);
        let to = left[done..][..length].iter_mut().zip(&mut right[done..][..length]);
        for ([even, odd], (left, right)) in row.as_chunks::<2>().0.iter().zip(to) {
            (*left, *right) = (*even, *odd);
        }
        done += length;
    }
}
