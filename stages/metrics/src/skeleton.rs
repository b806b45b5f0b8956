//! A mask thinned to lines one pixel wide, as scikit-image's `skeletonize` (2D, method "zhang") does it: Zhang and Suen's thinning
//! (Communications of the ACM 27, 1984), but for 25 neighbourhoods, where the textbook's skeleton is another.

use std::ops::Range;

use crate::Mask;

/// In which of the two passes a vessel pixel is removed, by its neighbours: 1, 2, both (3) or none (0). A neighbourhood is the sum of
/// NW 1, N 2, NE 4, E 8, SE 16, S 32, SW 64, W 128 over the neighbours that are vessel.
pub const REMOVALS: [u8; 256] = removals();

/// Where scikit-image differs from Zhang and Suen: the neighbourhood, and when its pixel is removed.
const EXCEPTIONS: [(usize, u8); 25] = [
    (3, 1),
    (6, 1),
    (10, 3),
    (11, 1),
    (12, 1),
    (14, 1),
    (24, 2),
    (26, 2),
    (40, 3),
    (48, 0),
    (56, 2),
    (96, 2),
    (104, 2),
    (108, 2),
    (129, 0),
    (130, 3),
    (131, 1),
    (134, 1),
    (160, 3),
    (161, 1),
    (176, 2),
    (192, 2),
    (194, 1),
    (198, 1),
    (224, 2),
];

const fn removals() -> [u8; 256] {
    let mut table = [0; 256];
    let mut code = 0_usize;
    while code < 256 {
        let [north, east, south, west] = [code >> 1 & 1 == 1, code >> 3 & 1 == 1, code >> 5 & 1 == 1, code >> 7 & 1 == 1];
        // Changes from background to vessel, once around.
        let rises = (code & !(code << 1 | code >> 7)).count_ones();
        if 2 <= code.count_ones() && code.count_ones() <= 6 && rises == 1 {
            let first = !(east && south && (north || west));
            let second = !(north && west && (east || south));
            table[code] = first as u8 + 2 * second as u8;
        }
        code += 1;
    }
    let mut at = 0;
    while at < EXCEPTIONS.len() {
        table[EXCEPTIONS[at].0] = EXCEPTIONS[at].1;
        at += 1;
    }
    table
}

/// The skeleton of a mask, `[height, width]`, 0 or 1. Outside the mask is background.
///
/// Takes about a byte a pixel. After the first two passes only pixels beside removed ones are looked at, so the time depends on the
/// mask's area, not on how thick it is.
pub fn skeleton(mask: &Mask) -> Vec<u8> {
    let mut thinning = Thinning::new(mask);
    while thinning.pass(1) | thinning.pass(2) {}
    thinning.finish()
}

/// Bytes that [`skeleton`] takes, its result included.
pub(crate) fn workspace(height: u64, width: u64) -> u64 {
    (height + 2) * ((width + 2) + (width + 2).div_ceil(BLOCK as u64))
}

/// Pixels in a row whose state is also summed up in one byte.
const BLOCK: usize = 64;

/// Of a pixel: it is vessel.
const VESSEL: u8 = 1;
/// Of a pixel or block: to be judged in pass 1, in pass 2.
const DUE: [u8; 2] = [2, 4];
/// Of a pixel or block: judged, to be removed.
const GOING: u8 = 8;

/// A mask while it is thinned, with a rim of background one pixel wide. A pixel is judged again only after a neighbour was removed.
struct Thinning {
    height: usize,
    /// Pixels of a row, with the rim.
    stride: usize,
    /// Blocks of a row.
    across: usize,
    pixels: Vec<u8>,
    blocks: Vec<u8>,
}

impl Thinning {
    fn new(mask: &Mask) -> Self {
        let (height, width) = (mask.height(), mask.width());
        let stride = width + 2;
        let across = stride.div_ceil(BLOCK);
        let mut pixels = vec![0; (height + 2) * stride];
        let mut blocks = vec![0; (height + 2) * across];
        for y in 0..height {
            let start = (y + 1) * stride;
            for (pixel, &value) in pixels[start + 1..start + 1 + width].iter_mut().zip(mask.row(y)) {
                *pixel = if value != 0 { VESSEL | DUE[0] | DUE[1] } else { 0 };
            }
            for (pixels, block) in pixels[start..start + stride].chunks(BLOCK).zip(&mut blocks[(y + 1) * across..]) {
                *block = pixels.iter().fold(0, |all, pixel| all | pixel) & (DUE[0] | DUE[1]);
            }
        }
        Self { height, stride, across, pixels, blocks }
    }

    /// One of the two passes, over all pixels at once. Returns whether any was removed.
    fn pass(&mut self, pass: u8) -> bool {
        let mut removed = false;
        for row in 1..=self.height {
            self.judge(row, pass);
            // A row is judged before the one above it changes.
            removed |= self.remove(row - 1);
        }
        removed | self.remove(self.height)
    }

    /// Marks what is to be removed from a row.
    fn judge(&mut self, row: usize, pass: u8) {
        let due = DUE[usize::from(pass - 1)];
        let mut next = row * self.across;
        while let Some(block) = marked(&self.blocks[..(row + 1) * self.across], next, due) {
            next = block + 1;
            self.blocks[block] &= !due;
            let Range { start: mut from, end } = self.pixels_of(row, block);
            while let Some(at) = marked(&self.pixels[..end], from, due) {
                from = at + 1;
                self.pixels[at] &= !due;
                if REMOVALS[self.neighbourhood(at)] & pass != 0 {
                    self.pixels[at] |= GOING;
                    self.blocks[block] |= GOING;
                }
            }
        }
    }

    /// Removes what is marked in a row; neighbours are to be judged again.
    fn remove(&mut self, row: usize) -> bool {
        let mut removed = false;
        let mut next = row * self.across;
        while let Some(block) = marked(&self.blocks[..(row + 1) * self.across], next, GOING) {
            next = block + 1;
            self.blocks[block] &= !GOING;
            let Range { start: mut from, end } = self.pixels_of(row, block);
            while let Some(at) = marked(&self.pixels[..end], from, GOING) {
                from = at + 1;
                removed = true;
                self.pixels[at] = 0;
                self.touch(row, at - row * self.stride);
            }
        }
        removed
    }

    /// Has the neighbours of a removed pixel judged again in both passes.
    fn touch(&mut self, row: usize, column: usize) {
        for row in row - 1..=row + 1 {
            for column in column - 1..=column + 1 {
                let pixel = &mut self.pixels[row * self.stride + column];
                if *pixel & VESSEL != 0 {
                    *pixel |= DUE[0] | DUE[1];
                    self.blocks[row * self.across + column / BLOCK] |= DUE[0] | DUE[1];
                }
            }
        }
    }

    fn pixels_of(&self, row: usize, block: usize) -> Range<usize> {
        let start = (block - row * self.across) * BLOCK;
        row * self.stride + start..row * self.stride + (start + BLOCK).min(self.stride)
    }

    /// The code of a pixel's neighbours, as in [`REMOVALS`].
    fn neighbourhood(&self, at: usize) -> usize {
        let [above, below] = [at - self.stride, at + self.stride];
        let around = [above - 1, above, above + 1, at + 1, below + 1, below, below - 1, at - 1];
        let bit = |(place, at): (usize, usize)| usize::from(self.pixels[at] & VESSEL) << place;
        around.into_iter().enumerate().map(bit).sum()
    }

    /// The mask without the rim, in the same buffer.
    fn finish(self) -> Vec<u8> {
        let (width, mut pixels) = (self.stride - 2, self.pixels);
        for y in 0..self.height {
            let start = (y + 1) * self.stride + 1;
            pixels.copy_within(start..start + width, y * width);
        }
        pixels.truncate(self.height * width);
        pixels
    }
}

/// The first byte with this mark, at `from` or behind it.
fn marked(bytes: &[u8], mut from: usize, mark: u8) -> Option<usize> {
    // Eight at a time while there is none.
    while let Some(eight) = bytes.get(from..).and_then(|rest| rest.first_chunk()) {
        if u64::from_ne_bytes(*eight) & u64::from_ne_bytes([mark; 8]) != 0 {
            break;
        }
        from += 8;
    }
    bytes.get(from..)?.iter().position(|byte| byte & mark != 0).map(|ahead| from + ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_contract::stage_rng;
    use rand::RngExt as _;

    /// The definition: each pass over all pixels at once, in turn, until nothing changes.
    fn plain(mask: &Mask) -> Vec<u8> {
        let (height, width) = (mask.height() as isize, mask.width() as isize);
        let mut now = mask.pixels().to_vec();
        loop {
            let before = now.clone();
            for pass in [1, 2] {
                let old = now.clone();
                let at = |y: isize, x: isize| {
                    usize::from((0..height).contains(&y) && (0..width).contains(&x) && old[(y * width + x) as usize] != 0)
                };
                for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                    let ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)];
                    let code: usize = ring.iter().enumerate().map(|(place, (dy, dx))| at(y + dy, x + dx) << place).sum();
                    if REMOVALS[code] & pass != 0 {
                        now[(y * width + x) as usize] = 0;
                    }
                }
            }
            if now == before {
                return now;
            }
        }
    }

    #[test]
    fn only_what_changed_needs_another_look() {
        let mut rng = stage_rng(7, 0, "skeleton", "test");
        for (height, width) in [(1, 1), (1, 90), (70, 1), (2, 2), (61, 62), (33, 63), (40, 64), (30, 131)] {
            for share in [0.3, 0.7, 0.97, 1.0] {
                let pixels: Vec<u8> = (0..height * width).map(|_| u8::from(rng.random_bool(share))).collect();
                let mask = Mask::new(height, width, &pixels);
                assert_eq!(skeleton(&mask), plain(&mask), "{height} x {width}, {share}");
            }
        }
    }

    #[test]
    fn a_bar_becomes_a_line() {
        let (height, width) = (9, 200);
        let pixels: Vec<u8> = (0..height * width).map(|at| u8::from((3..6).contains(&(at / width)))).collect();
        let thin = skeleton(&Mask::new(height, width, &pixels));
        // An end bends a little, in scikit-image too.
        assert!(thin.iter().enumerate().all(|(at, &value)| value == 0 || at / width == 4 || at == 3 * width + 198));
        assert!(thin.iter().map(|&value| usize::from(value)).sum::<usize>() > 195);
        assert_eq!(skeleton(&Mask::new(0, 5, &[])), [0; 0]);
        assert_eq!(skeleton(&Mask::new(3, 0, &[])), [0; 0]);
    }
}
