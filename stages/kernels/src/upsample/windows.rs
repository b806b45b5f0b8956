//! The 2x2 windows of a map with twice the height and width.

use crate::Element;
use crate::rows::ROW;

/// Reads one row of the windows of the pixels from `start` on, in a plane twice as wide and high: the left and the right
/// values.
#[inline(always)]
pub(super) fn windows<E: Element>(plane: &[E], width: usize, lower: usize, start: usize, left: &mut [f32], right: &mut [f32]) {
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
