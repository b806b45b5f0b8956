//! The matrix product of the transposed convolution: one tile of pixels at a time, in float32, sized to fit the L2 cache.

use crate::dispatch::multiply_add;
use crate::rows::ROW;

/// Rows and columns of the product whose sums are held in registers.
pub(super) const ROWS: usize = 6;
pub(super) const COLUMNS: usize = 16;

/// Rows of a block are a multiple of this: whole panels, and whole outputs of four positions.
const UNIT: usize = 12;

/// Maximum values of a tile's right side and of a block of its left side.
const RIGHT: usize = 96 * 1024;
const LEFT: usize = 32 * 1024;

/// How a product `[rows, depth] x [depth, pixels]` is divided. No sum depends on it: each runs over the whole depth in
/// order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// Number of terms in each sum.
    pub depth: usize,
    /// Total number of rows.
    pub rows: usize,
    /// Rows per block, a multiple of `UNIT`.
    pub block: usize,
    /// Pixels per tile, a multiple of `COLUMNS` and at most `ROW`.
    pub pixels: usize,
}

impl Cut {
    pub fn new(depth: usize, rows: usize) -> Self {
        let fit = |budget: usize, unit: usize, most: usize| (budget / depth.max(1)).clamp(unit, most) / unit * unit;
        let block = fit(LEFT, UNIT, 60).min(rows.next_multiple_of(UNIT));
        Self { depth, rows, block, pixels: fit(RIGHT, COLUMNS, ROW) }
    }

    /// Workspace values per thread.
    pub fn workspace(self) -> usize {
        self.left() + self.right() + self.block * self.pixels
    }

    fn left(self) -> usize {
        self.depth * self.block
    }

    fn right(self) -> usize {
        self.depth * self.pixels
    }

    /// Computes the product for one tile of `count` pixels. `right` writes the tile's right side with [`Right::put`];
    /// `left(start, panel)` writes rows `start..` of the left side as `[depth, ROWS]`; `write(start, rows, stride)` gets
    /// rows `start..` of the product.
    #[inline(always)]
    pub fn multiply<const FUSED: bool>(
        self,
        workspace: &mut [f32],
        count: usize,
        right: impl FnOnce(&mut Right<'_>),
        mut left: impl FnMut(usize, &mut [[f32; ROWS]]),
        mut write: impl FnMut(usize, &[f32]),
    ) {
        let (a, rest) = workspace.split_at_mut(self.left());
        let (b, c) = rest.split_at_mut(self.right());
        let c = &mut c[..self.block * self.pixels];
        right(&mut Right { values: b, depth: self.depth, count });
        for start in (0..self.rows).step_by(self.block) {
            let rows = self.block.min(self.rows - start);
            let panels = rows.div_ceil(ROWS);
            for (panel, a) in a.chunks_mut(self.depth * ROWS).take(panels).enumerate() {
                left(start + panel * ROWS, a.as_chunks_mut().0);
            }
            for (column, b) in b.chunks(self.depth * COLUMNS).take(count.div_ceil(COLUMNS)).enumerate() {
                for (panel, a) in a.chunks(self.depth * ROWS).take(panels).enumerate() {
                    let sums = kernel::<FUSED>(a.as_chunks().0, b.as_chunks().0);
                    for (row, sums) in sums.iter().enumerate() {
                        c[(panel * ROWS + row) * self.pixels + column * COLUMNS..][..COLUMNS].copy_from_slice(sums);
                    }
                }
            }
            write(start, &c[..rows * self.pixels]);
        }
    }
}

#[inline(always)]
fn kernel<const FUSED: bool>(a: &[[f32; ROWS]], b: &[[f32; COLUMNS]]) -> [[f32; COLUMNS]; ROWS] {
    let mut sums = [[0.0f32; COLUMNS]; ROWS];
    for (a, b) in a.iter().zip(b) {
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                sums[row][column] = multiply_add::<FUSED>(a[row], b[column], sums[row][column]);
            }
        }
    }
    sums
}

/// The right side of a tile: panels of `COLUMNS` pixels, each `[depth, COLUMNS]`.
#[derive(Debug)]
pub(super) struct Right<'a> {
    values: &'a mut [f32],
    depth: usize,
    count: usize,
}

impl Right<'_> {
    /// Writes a row of the right side, one value per pixel of the tile.
    #[inline(always)]
    pub fn put(&mut self, row: usize, pixels: &[f32]) {
        let (full, rest) = pixels[..self.count].as_chunks::<COLUMNS>();
        for (panel, pixels) in full.iter().enumerate() {
            self.values[(panel * self.depth + row) * COLUMNS..][..COLUMNS].copy_from_slice(pixels);
        }
        if !rest.is_empty() {
            let to = &mut self.values[(full.len() * self.depth + row) * COLUMNS..][..COLUMNS];
            to[..rest.len()].copy_from_slice(rest);
            to[rest.len()..].fill(0.0);
        }
    }
}
