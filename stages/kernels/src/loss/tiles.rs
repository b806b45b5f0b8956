//! Divides an image into bands of rows for threads, and a band into tiles that fit a processor's cache.

use rayon::prelude::*;

use super::skeleton::Grid;
use crate::Area;

/// Rows per band, and columns per tile.
const ROWS: usize = 64;
const COLUMNS: usize = 256;

/// Maximum bands whose results are held on the stack.
const GROUP: usize = 64;

/// A rectangle of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    pub top: usize,
    pub left: usize,
    pub grid: Grid,
}

impl Tile {
    /// The tiles of a band.
    pub fn of_band(band: usize, area: Area) -> impl Iterator<Item = Tile> {
        let top = band * ROWS;
        let height = ROWS.min(area.height - top);
        let tile = move |left: usize| Self { top, left, grid: Grid { height, width: COLUMNS.min(area.width - left) } };
        (0..area.width).step_by(COLUMNS).map(tile)
    }

    /// The tile with a margin on each side, clipped to the image.
    pub fn grown(self, margin: usize, area: Area) -> Self {
        let (top, left) = (self.top.saturating_sub(margin), self.left.saturating_sub(margin));
        let height = (self.top + self.grid.height + margin).min(area.height) - top;
        let width = (self.left + self.grid.width + margin).min(area.width) - left;
        Self { top, left, grid: Grid { height, width } }
    }

    /// Where row `y` of the tile lies in a map of `width` columns.
    pub fn row(self, y: usize, width: usize) -> std::ops::Range<usize> {
        let start = (self.top + y) * width + self.left;
        start..start + self.grid.width
    }

    /// Where row `y` of this tile lies in a plane of `outer`, the tile that contains it.
    pub fn row_within(self, outer: Self, y: usize) -> std::ops::Range<usize> {
        let row = outer.grid.row(self.top - outer.top + y);
        let start = row.start + self.left - outer.left;
        start..start + self.grid.width
    }

    /// Fills the rows of a plane from those of a map.
    #[inline(always)]
    pub fn load<T: Copy>(self, map: &[T], width: usize, plane: &mut [f32], value: impl Fn(T) -> f32) {
        for y in 0..self.grid.height {
            for (to, from) in plane[self.grid.row(y)].iter_mut().zip(&map[self.row(y, width)]) {
                *to = value(*from);
            }
        }
    }
}

/// The largest tile with a margin.
pub(super) fn largest(margin: usize, area: Area) -> Grid {
    Grid { height: (ROWS + 2 * margin).min(area.height), width: (COLUMNS + 2 * margin).min(area.width) }
}

/// Number of bands that are processed at once.
pub(super) fn workers(area: Area) -> usize {
    rayon::current_num_threads().min(GROUP).min(area.height.div_ceil(ROWS))
}

/// Calls `work` with each band's number, its part of `out` (a map of the image) and its own scratch memory: `size` values of
/// `memory`, which must hold that for each of the [`workers`]. Adds up the results in order.
pub(super) fn each<T: Send, const N: usize>(
    out: &mut [T],
    area: Area,
    (memory, size): (&mut [f32], usize),
    work: impl Fn(usize, &mut [T], &mut [f32]) -> [f64; N] + Sync,
) -> [f64; N] {
    let (workers, pixels) = (workers(area), ROWS * area.width);
    let (mut total, mut results) = ([0.0; N], [[0.0; N]; GROUP]);
    for (group, out) in out.chunks_mut(workers * pixels).enumerate() {
        let results = &mut results[..out.len().div_ceil(pixels)];
        let bands = out.par_chunks_mut(pixels).zip(memory[..workers * size].par_chunks_exact_mut(size));
        bands.zip(results.par_iter_mut()).enumerate().with_max_len(1).for_each(|(index, ((out, memory), result))| {
            *result = work(group * workers + index, out, memory);
        });
        for result in results {
            for (total, result) in total.iter_mut().zip(result) {
                *total += *result;
            }
        }
    }
    total
}
