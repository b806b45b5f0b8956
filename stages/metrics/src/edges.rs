//! The edge of a mask: vessel pixels one of whose four neighbours is background or outside the image.

use crate::Mask;

/// Writes which pixels of row `y` are edge, `[width]`: 1, else 0.
pub(crate) fn edges(mask: &Mask, y: usize, edge: &mut [u8]) {
    let row = mask.row(y);
    let (Some(above), true) = (y.checked_sub(1), y + 1 < mask.height()) else {
        edge.iter_mut().zip(row).for_each(|(edge, &pixel)| *edge = u8::from(pixel != 0));
        return;
    };
    let width = row.len();
    let (above, below) = (mask.row(above), mask.row(y + 1));
    for (at, edge) in edge.iter_mut().enumerate() {
        let sides = at > 0 && at + 1 < width;
        let inner = sides && above[at] != 0 && below[at] != 0 && row[at - 1] != 0 && row[at + 1] != 0;
        *edge = u8::from(row[at] != 0 && !inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_ends_in_background_and_corners_do_not_count() {
        let pixels = [1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        let mut found = [0; 20];
        for (y, row) in found.chunks_exact_mut(5).enumerate() {
            edges(&Mask::new(4, 5, &pixels), y, row);
        }
        assert_eq!(found, [1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
    }
}
