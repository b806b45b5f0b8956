//! The 95th percentile of the distances between two masks' edges.

use crate::Mask;
use crate::distance::{Columns, Row};
use crate::edges::edges;
use crate::percentile::percentile;

/// Hausdorff distance at the 95th percentile, in pixels: the larger of the two directions' percentiles, each interpolated linearly
/// over the distances from every edge pixel of one mask to the nearest of the other (MONAI's `compute_hausdorff_distance`). An edge
/// pixel has background, or the outside, among its four neighbours. `None` if a mask is empty.
///
/// Takes at most 8 bytes a pixel: 4, and 4 more for each edge pixel. Distances above 65,535 count as that.
///
/// # Panics
/// Unless the masks have the same size.
pub fn hausdorff95(a: &Mask, b: &Mask) -> Option<f64> {
    assert_eq!((a.height(), a.width()), (b.height(), b.width()), "the masks' sizes");
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (mut columns, mut row) = (Columns::new(a.height(), a.width()), Row::new(a.width()));
    let there = direction(a, b, &mut columns, &mut row)?;
    let back = direction(b, a, &mut columns, &mut row)?;
    Some(there.max(back))
}

/// Bytes that [`hausdorff95`] takes at most: all pixels of a mask can be edge.
pub(crate) fn workspace(height: u64, width: u64) -> u64 {
    Columns::workspace(height, width) + 4 * height * width + width
}

/// The percentile of the distances from the edge pixels of one mask to those of another.
fn direction(from: &Mask, to: &Mask, columns: &mut Columns, row: &mut Row) -> Option<f64> {
    columns.measure(to, row);
    let mut edge = vec![0; from.width()];
    let mut count = 0;
    for y in 0..from.height() {
        edges(from, y, &mut edge);
        count += edge.iter().map(|&edge| usize::from(edge)).sum::<usize>();
    }
    let mut squares = Vec::with_capacity(count);
    for y in 0..from.height() {
        columns.visit(from, y, row, |squared| squares.push(u32::try_from(squared).unwrap_or(u32::MAX)));
    }
    percentile(&mut squares, 95.0, u32::cmp, |squared| f64::from(squared).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_dot_is_as_far_as_it_moved() {
        let dot = |at: usize| (0..20 * 30).map(|pixel| u8::from(pixel == at)).collect::<Vec<u8>>();
        let distance = |a: &[u8], b: &[u8]| hausdorff95(&Mask::new(20, 30, a), &Mask::new(20, 30, b));
        assert_eq!(distance(&dot(2 * 30 + 3), &dot(5 * 30 + 7)), Some(5.0));
        assert_eq!(distance(&dot(33), &dot(33)), Some(0.0));
        assert_eq!(distance(&dot(33), &[0; 600]), None);
        assert_eq!(distance(&[0; 600], &[0; 600]), None);
    }

    #[test]
    fn the_larger_direction_counts() {
        // A line, and the same with a dot far from it: only the dot is far, more than 5% of its mask's edge.
        let line: Vec<u8> = (0..20 * 10).map(|pixel| u8::from(pixel / 10 == 1)).collect();
        let mut dotted = line.clone();
        dotted[15 * 10 + 4] = 1;
        let of = |a: &[u8], b: &[u8]| hausdorff95(&Mask::new(20, 10, a), &Mask::new(20, 10, b));
        // Eleven distances: ten of 0 and one of 14. The 95th percentile stands half of the way between the last two.
        let distance = of(&line, &dotted).unwrap_or(0.0);
        assert!((distance - 7.0).abs() < 1e-9, "{distance}");
        assert_eq!(of(&line, &dotted), of(&dotted, &line));
    }
}
