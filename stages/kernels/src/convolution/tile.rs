//! The tiles that a map is cut into, and reading one into scratch memory.
//!
//! The samples of a batch are seen as one tall map, with a row of zeros after each. A tile is a range of its rows and of its
//! columns. In scratch memory a channel's tile is one run of values with zeros (or the neighbouring columns) between the
//! rows, so that a tap of the 3x3 kernel is a constant offset and pixels are computed in long runs whatever the width is.

use super::lanes::{Kernel, Lanes, MOST, run};
use crate::{Activation, Area, Element, View};

/// How maps are cut into tiles.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    pub(super) area: Area,
    rows: usize,
    columns: usize,
    bands: usize,
    across: usize,
    /// From a row to the next one in scratch memory.
    pub(super) stride: usize,
}

/// One tile: rows of the tall map, and columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile {
    first: usize,
    pub(super) rows: usize,
    left: usize,
    columns: usize,
}

/// The most columns of a tile.
const WIDEST: usize = 128;

/// Pixels that a channel's run of a tile is a multiple of: those of a microkernel's widest block.
pub(super) const BLOCK: usize = 2 * MOST;

impl Cut {
    /// Cuts into tiles of about so many pixels.
    pub(super) fn new(area: Area, pixels: usize) -> Self {
        let across = area.width.div_ceil(WIDEST).max(1);
        let columns = area.width.div_ceil(across);
        let stride = if across == 1 { columns + 1 } else { columns + 2 };
        let tall = area.batch * (area.height + 1);
        let most = (pixels / stride).clamp(1, tall.max(1));
        // The microkernel computes whole blocks: of the heights that are about right, the one with the least beyond the tile,
        // counting the rows of its border as a part of one that is computed.
        let cost = |rows: usize| {
            let band = |rows: usize| (rows * stride).next_multiple_of(2 * 8) + stride / 2;
            tall / rows * band(rows) + if tall.is_multiple_of(rows) { 0 } else { band(tall % rows) }
        };
        let rows = (most.div_ceil(2)..=most).rev().min_by_key(|rows| cost(*rows)).unwrap_or(1);
        Cut { area, rows, columns, bands: tall.div_ceil(rows), across, stride }
    }

    /// How many tiles there are.
    pub(super) fn tiles(&self) -> usize {
        self.bands * self.across
    }

    /// One of the tiles.
    pub(super) fn tile(&self, index: usize) -> Tile {
        let (band, across) = (index / self.across, index % self.across);
        let first = band * self.rows;
        // The row of zeros after the last sample is never computed.
        let rows = self.rows.min((self.area.batch * (self.area.height + 1)).saturating_sub(first + 1));
        let left = across * self.columns;
        Tile { first, rows, left, columns: self.columns.min(self.area.width.saturating_sub(left)) }
    }

    /// Values from a channel to the next one of a tile without borders.
    pub(super) fn plain_run(&self) -> usize {
        odd_lines((self.rows * self.stride).next_multiple_of(BLOCK))
    }

    /// Values from a channel to the next one of a tile with borders.
    pub(super) fn bordered_run(&self) -> usize {
        odd_lines((self.rows * self.stride).next_multiple_of(BLOCK) + 2 * self.stride + 2)
    }

    /// Calls for each row of the tile that is a sample's, with the row within the tile, the sample and its row.
    pub(super) fn sample_rows(&self, tile: Tile, mut each: impl FnMut(usize, usize, usize)) {
        let (mut sample, mut y) = (tile.first / (self.area.height + 1), tile.first % (self.area.height + 1));
        for row in 0..tile.rows {
            if y < self.area.height {
                each(row, sample, y);
                y += 1;
            } else {
                (sample, y) = (sample + 1, 0);
            }
        }
    }

    /// Where in a map of so many channels the tile's part of a row starts, and its length.
    pub(super) fn place(&self, tile: Tile, channels: usize, channel: usize, sample: usize, y: usize) -> (usize, usize) {
        (((sample * channels + channel) * self.area.height + y) * self.area.width + tile.left, tile.columns)
    }

    /// Reads channels of the views with one pixel more on each side, zero outside of the map.
    pub(super) fn load_bordered<E: Element>(
        &self,
        tile: Tile,
        inputs: &[View<'_, E>],
        channels: std::ops::Range<usize>,
        to: &mut [f32],
    ) {
        let wider = Tile { first: tile.first, rows: tile.rows + 2, ..tile };
        // What is left and right of the tile's columns within the map.
        let (before, after) = (tile.left.min(1), (self.area.width - tile.left - tile.columns).min(1));
        let wide = Wide { rows: wider, before, after, offset: 1 };
        self.load(wide, inputs, channels, to, self.bordered_run());
    }

    /// Reads channels of a map as they are, with zeros between the rows.
    pub(super) fn load_plain<E: Element>(
        &self,
        tile: Tile,
        map: &View<'_, E>,
        channels: std::ops::Range<usize>,
        to: &mut [f32],
    ) {
        let wide = Wide { rows: tile, before: 0, after: 0, offset: 0 };
        self.load(wide, std::slice::from_ref(map), channels, to, self.plain_run());
    }

    fn load<E: Element>(
        &self,
        wide: Wide,
        inputs: &[View<'_, E>],
        channels: std::ops::Range<usize>,
        to: &mut [f32],
        run_length: usize,
    ) {
        let Wide { rows: tile, before, after, offset } = wide;
        let Area { batch, height, width } = self.area;
        let (length, left) = (before + tile.columns + after, tile.left - before);
        let mut runs = to.chunks_exact_mut(run_length);
        let mut base = 0;
        for view in inputs {
            for channel in channels.start.max(base)..channels.end.min(base + view.channels) {
                let Some(to) = runs.next() else { return };
                let channel = channel - base;
                // One row before the tile where there is a border: counted from the row of zeros of the sample before.
                let from = tile.first + height + 1 - offset;
                let (mut sample, mut y) = (from / (height + 1), from % (height + 1));
                let mut end = 0;
                for row in 0..tile.rows {
                    if y == height {
                        (sample, y) = (sample + 1, 0);
                        continue;
                    }
                    if sample > 0 && sample <= batch {
                        let start = row * self.stride + offset - before;
                        to[end..start].fill(0.0);
                        end = start + length;
                        let place = (sample - 1) * view.channels + channel;
                        let source = &view.values[(place * height + y) * width + left..][..length];
                        E::widen(source, &mut to[start..end]);
                        if view.affine.is_some() || view.activation != Activation::Identity {
                            let affine = view.affine.map(|affine| affine[place]);
                            run(Activate { values: &mut to[start..end], affine, activation: view.activation });
                        }
                    }
                    y += 1;
                }
                to[end..].fill(0.0);
            }
            base += view.channels;
        }
    }
}

/// What `load` reads: rows from `offset` before the tile's first on, and columns before and after the tile's.
#[derive(Clone, Copy)]
struct Wide {
    rows: Tile,
    before: usize,
    after: usize,
    offset: usize,
}

/// `activation(scale * x + shift)`.
struct Activate<'a> {
    values: &'a mut [f32],
    affine: Option<[f32; 2]>,
    activation: Activation,
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        match self.affine {
            Some([scale, shift]) => self.activation.apply_after(self.values, |x| scale * x + shift),
            None => self.activation.apply_after(self.values, |x| x),
        }
    }
}

/// Runs that don't all start in the same few places of a cache: an odd number of its lines apart.
fn odd_lines(values: usize) -> usize {
    (values.div_ceil(16) | 1) * 16
}
