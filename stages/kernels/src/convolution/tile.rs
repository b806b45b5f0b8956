//! The tiles that a map is cut into.
//!
//! The samples of a batch are treated as one tall map with rows of zeros after each sample, as many rows as a tile's border
//! has. A tile is a range of its rows and of its columns. In scratch memory a channel's tile is one run of values with zeros
//! (or the neighbouring columns) between the rows, so that a tap of a kernel is a constant offset and pixels are computed in
//! long runs whatever the width.

use super::lanes::MOST;
use super::taps::Border;
use crate::Area;

/// How maps are cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The map's area; for a map of stride 2, the area of one phase.
    pub(super) area: Area,
    /// The border that tiles may be read with.
    border: Border,
    rows: usize,
    columns: usize,
    bands: usize,
    across: usize,
    /// Distance from one row to the next in scratch memory.
    pub(super) stride: usize,
}

/// One tile: rows of the tall map, and columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    first: usize,
    pub(super) rows: usize,
    pub(super) left: usize,
    pub(super) columns: usize,
}

/// Maximum columns per tile.
pub(super) const WIDEST: usize = 128;

/// The length of a channel's run is a multiple of this: the pixels of a microkernel's widest block.
pub(super) const BLOCK: usize = 2 * MOST;

impl Cut {
    /// Cuts a map into tiles of about `pixels` pixels.
    pub(super) fn new(area: Area, border: Border, pixels: usize) -> Self {
        let across = area.width.div_ceil(WIDEST).max(1);
        let columns = area.width.div_ceil(across);
        let stride = columns + if across == 1 { border.larger() } else { border.both() };
        let tall = area.batch * (area.height + border.larger());
        let most = (pixels / stride.max(1)).clamp(1, tall.max(1));
        // The microkernel computes whole blocks. Of the heights that are about right, this takes the one that computes the
        // least beyond the tile, counting the border's rows as part of a computed row.
        let cost = |rows: usize| {
            let band = |rows: usize| (rows * stride).next_multiple_of(2 * 8) + stride / 2;
            tall / rows * band(rows) + if tall.is_multiple_of(rows) { 0 } else { band(tall % rows) }
        };
        let rows = (most.div_ceil(2)..=most).rev().min_by_key(|rows| cost(*rows)).unwrap_or(1);
        Cut { area, border, rows, columns, bands: tall.div_ceil(rows), across, stride }
    }

    /// Number of tiles.
    pub(super) fn tiles(&self) -> usize {
        self.bands * self.across
    }

    /// The tile with this index.
    pub(super) fn tile(&self, index: usize) -> Tile {
        let (band, across) = (index / self.across, index % self.across);
        let first = band * self.rows;
        // The rows of zeros after the last sample are never computed.
        let gap = self.border.larger();
        let rows = self.rows.min((self.area.batch * (self.area.height + gap)).saturating_sub(first + gap));
        let left = across * self.columns;
        Tile { first, rows, left, columns: self.columns.min(self.area.width.saturating_sub(left)) }
    }

    /// Values from one channel of a tile to the next, without borders.
    pub(super) fn plain_run(&self) -> usize {
        odd_lines((self.rows * self.stride).next_multiple_of(BLOCK))
    }

    /// Values from one channel of a tile to the next, with borders.
    pub(super) fn bordered_run(&self) -> usize {
        odd_lines((self.rows * self.stride).next_multiple_of(BLOCK) + self.border.both() * (self.stride + 1))
    }

    /// Calls `each` for every row of the tile and its border that belongs to a sample, with the row (counted from the
    /// border's first), the sample, and the row within the sample.
    #[inline(always)]
    pub(super) fn sample_rows(&self, tile: Tile, border: Border, mut each: impl FnMut(usize, usize, usize)) {
        // Counted from one sample before the first, since a border may reach there.
        let period = self.area.height + self.border.larger();
        let from = tile.first + period - border.before;
        let (mut sample, mut y) = (from / period, from % period);
        for row in 0..tile.rows + border.both() {
            if y < self.area.height && sample > 0 && sample <= self.area.batch {
                each(row, sample - 1, y);
            }
            y += 1;
            if y == period {
                (sample, y) = (sample + 1, 0);
            }
        }
    }
}

/// Spaces runs an odd number of cache lines apart, so that they don't all start in the same few cache sets.
fn odd_lines(values: usize) -> usize {
    (values.div_ceil(16) | 1) * 16
}
