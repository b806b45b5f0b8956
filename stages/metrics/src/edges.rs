//! The edge of a mask: vessel pixels one of whose four neighbours is background or outside the image.

use crate::Mask;

/// Writes which pixels of row `y` are edge, `[width]`: 1, else 0.
pub(crate) fn edges(mask: &Mask, y: usize, edge: &mut [u8]) {
    let row = mask.row(y);
    let (Some(above), true) = (y.checked_sub(1), y + 1 < mask.height()) else {
        edge.iter_mut().zip(row).for_each(|(edge, &pixel)| *edge = vessel(pixel));
        return;
    };
    let Some(last) = row.len().checked_sub(1) else { return };
    let (above, below) = (mask.row(above), mask.row(y + 1));
    edge[last] = vessel(row[last]);
    edge[0] = vessel(row[0]);
    // Without jumps and checks of bounds, so that many pixels are done at once.
    let sides = row.iter().zip(row.iter().skip(2));
    let others = above.iter().zip(below).zip(row).skip(1).zip(sides);
    for (edge, (((above, below), pixel), (left, right))) in edge.iter_mut().skip(1).zip(others) {
        let inner = vessel(*above) & vessel(*below) & vessel(*left) & vessel(*right);
        *edge = vessel(*pixel) & !inner;
    }
}

fn vessel(pixel: u8) -> u8 {
    u8::from(pixel != 0)
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
