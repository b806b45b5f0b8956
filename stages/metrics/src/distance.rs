//! The exact Euclidean distance transform, row by row: from any pixel to the nearest edge pixel of a mask
//! (Meijster, Roerdink and Hesselink 2000). No map of distances is kept, only that of distances within a column.

use crate::Mask;
use crate::edges::edges;

/// No edge in this column, as any number from here. A mask's height can be added.
const NONE: u32 = 1 << 31;

/// For each pixel, the rows to the nearest edge pixel in its column: 4 bytes a pixel.
pub(crate) struct Columns {
    width: usize,
    rows: Vec<u32>,
}

/// Buffers of a row.
pub(crate) struct Row {
    /// Columns of which each is the nearest for some pixels, from left to right, each with the first pixel for which it is.
    nearest: Vec<(usize, usize)>,
    edge: Vec<u8>,
}

impl Row {
    /// Buffers for rows of this width.
    pub fn new(width: usize) -> Self {
        Self { nearest: Vec::with_capacity(width), edge: vec![0; width] }
    }
}

impl Columns {
    /// Room for masks of this size.
    pub fn new(height: usize, width: usize) -> Self {
        Self { width, rows: vec![0; height * width] }
    }

    /// Bytes of it, with a [`Row`].
    pub fn workspace(height: u64, width: u64) -> u64 {
        4 * height * width + width * (size_of::<(usize, usize)>() as u64 + 1)
    }

    /// Measures the distances to the edge of a mask.
    pub fn measure(&mut self, mask: &Mask, row: &mut Row) {
        let (width, height) = (self.width, mask.height());
        let nearer = |there: &mut u32, other: u32| *there = (*there).min(other + 1);
        for y in 0..height {
            edges(mask, y, &mut row.edge);
            let (before, now) = self.rows.split_at_mut(y * width);
            for (there, &edge) in now[..width].iter_mut().zip(&row.edge) {
                *there = if edge != 0 { 0 } else { NONE };
            }
            if let Some(above) = before.len().checked_sub(width) {
                now[..width].iter_mut().zip(&before[above..]).for_each(|(there, &above)| nearer(there, above));
            }
        }
        for y in (1..height).rev() {
            let (above, below) = self.rows.split_at_mut(y * width);
            above[(y - 1) * width..].iter_mut().zip(&below[..width]).for_each(|(there, &below)| nearer(there, below));
        }
    }

    /// Visits the edge pixels of row `y` of `mask` with the squared distance from each to the nearest edge pixel of the measured
    /// mask. Visits none if that has no edge.
    pub fn visit(&self, mask: &Mask, y: usize, row: &mut Row, mut visit: impl FnMut(u64)) {
        edges(mask, y, &mut row.edge);
        if row.edge.iter().all(|&edge| edge == 0) {
            return;
        }
        let rows = &self.rows[y * self.width..(y + 1) * self.width];
        let edge = || row.edge.iter().enumerate().filter(|(_, edge)| **edge != 0).map(|(at, _)| at);
        // Columns farther away than the pixel's own edge can't be nearer. For lines near lines that is less work than an envelope.
        if edge().map(|at| (rows[at] as usize).min(self.width)).sum::<usize>() <= self.width {
            edge().filter_map(|at| search(rows, at)).for_each(visit);
            return;
        }
        envelope(rows, &mut row.nearest);
        let mut nearest = row.nearest.iter().copied().peekable();
        let Some((mut column, _)) = nearest.next() else { return };
        for at in edge() {
            while let Some((next, _)) = nearest.next_if(|(_, start)| *start <= at) {
                column = next;
            }
            visit(squared(at, column, rows[column]));
        }
    }
}

/// The squared distance from a pixel of a row to the nearest edge pixel, by a search of the columns beside it; `None` if there is no edge.
fn search(rows: &[u32], at: usize) -> Option<u64> {
    let mut best = (rows[at] < NONE).then(|| squared(at, at, rows[at]));
    for across in 1..rows.len() {
        if best.is_some_and(|best| (across * across) as u64 >= best) {
            break;
        }
        for column in [at.checked_sub(across), Some(at + across)].into_iter().flatten() {
            if let Some(&distance) = rows.get(column).filter(|distance| **distance < NONE) {
                let there = squared(at, column, distance);
                best = Some(best.map_or(there, |best| best.min(there)));
            }
        }
    }
    best
}

fn squared(at: usize, column: usize, rows: u32) -> u64 {
    let across = at.abs_diff(column) as u64;
    across * across + u64::from(rows) * u64::from(rows)
}

/// Which column's edge pixel is nearest to which pixels of a row: the lower envelope of a parabola for each column.
fn envelope(rows: &[u32], nearest: &mut Vec<(usize, usize)>) {
    nearest.clear();
    for (column, &distance) in rows.iter().enumerate().filter(|(_, distance)| **distance < NONE) {
        let start = loop {
            let Some(&(last, start)) = nearest.last() else { break 0 };
            if squared(start, last, rows[last]) > squared(start, column, distance) {
                nearest.pop();
                continue;
            }
            break crossing(last, rows[last], column, distance);
        };
        if start < rows.len() {
            nearest.push((column, start));
        }
    }
}

/// The first pixel that is nearer to column `b`'s edge pixel than to that of column `a` on its left; one at the same distance
/// stays with `a`.
fn crossing(a: usize, rows_a: u32, b: usize, rows_b: u32) -> usize {
    let square = |value: u64| (value * value) as i64;
    let ahead = square(b as u64) - square(a as u64) + square(rows_b.into()) - square(rows_a.into());
    // Not negative: `a` is at least as near at its own start, which is to the left of the crossing.
    (ahead.div_euclid(2 * (b - a) as i64) + 1).max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_contract::stage_rng;
    use rand::RngExt as _;

    fn edge_pixels(mask: &Mask) -> Vec<(usize, usize)> {
        let mut edge = vec![0; mask.width()];
        let mut found = Vec::new();
        for y in 0..mask.height() {
            edges(mask, y, &mut edge);
            found.extend(edge.iter().enumerate().filter(|(_, edge)| **edge != 0).map(|(x, _)| (y, x)));
        }
        found
    }

    #[test]
    fn agrees_with_all_pairs() {
        let mut rng = stage_rng(9, 0, "distance", "test");
        for (height, width) in [(1, 1), (1, 60), (60, 1), (37, 24), (24, 41)] {
            let (mut columns, mut row) = (Columns::new(height, width), Row::new(width));
            for share in [0.01, 0.05, 0.5, 1.0] {
                let mut mask = || (0..height * width).map(|_| u8::from(rng.random_bool(share))).collect::<Vec<u8>>();
                let (to, from) = (mask(), mask());
                let (to, from) = (Mask::new(height, width, &to), Mask::new(height, width, &from));
                columns.measure(&to, &mut row);
                let mut found = Vec::new();
                (0..height).for_each(|y| columns.visit(&from, y, &mut row, |squared| found.push(squared)));
                let (targets, starts) = (edge_pixels(&to), edge_pixels(&from));
                let all = starts.iter().filter_map(|&(y, x)| {
                    targets.iter().map(|&(v, u)| (y.abs_diff(v).pow(2) + x.abs_diff(u).pow(2)) as u64).min()
                });
                assert_eq!(found, all.collect::<Vec<_>>(), "{height} x {width}, {share}");
            }
        }
    }
}
