//! Flips and quarter turns of pixels, exact and in place. Turns by other angles are in `geometry`.

/// Flips and quarter turns in one: first the transposition, then the flips.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dihedral {
    transpose: bool,
    up_down: bool,
    left_right: bool,
}

impl Dihedral {
    /// Flips, then turns counterclockwise by `quarters` times 90 degrees, as `numpy.rot90` does.
    pub(crate) fn new(up_down: bool, left_right: bool, quarters: u32) -> Self {
        let odd = quarters % 2 == 1;
        // A flip before a transposition is the other flip after it.
        let (mut up_down, mut left_right) = if odd { (left_right, up_down) } else { (up_down, left_right) };
        up_down ^= matches!(quarters % 4, 1 | 2);
        left_right ^= matches!(quarters % 4, 2 | 3);
        Self { transpose: odd, up_down, left_right }
    }

    /// Moves the pixels of `N` values each, `[height, width, N]`. A quarter turn needs a square; elsewhere it is left out.
    pub(crate) fn apply<const N: usize>(self, pixels: &mut [u8], height: usize, width: usize) {
        let (pixels, _) = pixels.as_chunks_mut::<N>();
        if self.transpose && height == width {
            transpose(pixels, width);
        }
        match (self.up_down, self.left_right) {
            (true, true) => pixels.reverse(),
            (true, false) => flip_rows(pixels, width),
            (false, true) => pixels.chunks_exact_mut(width.max(1)).for_each(<[_]>::reverse),
            (false, false) => {}
        }
    }
}

impl Dihedral {
    /// Where the pixels of the moved image lie in the one before: the place of pixel (0, 0), and the steps to the next in x and in y. A quarter
    /// turn is left out as in [`Self::apply`].
    pub(crate) fn places(self, height: usize, width: usize) -> [isize; 3] {
        let transposes = self.transpose && height == width;
        let (mut x, mut y) = if transposes { (width as isize, 1) } else { (1, width as isize) };
        let mut first = 0;
        if self.left_right {
            first += x * (width as isize - 1);
            x = -x;
        }
        if self.up_down {
            first += y * (height as isize - 1);
            y = -y;
        }
        [first, x, y]
    }
}

fn flip_rows<T>(pixels: &mut [T], width: usize) {
    let rows = pixels.len() / width.max(1);
    let (top, bottom) = pixels.split_at_mut(rows.div_ceil(2) * width);
    let mirrored = top.chunks_exact_mut(width.max(1)).zip(bottom.chunks_exact_mut(width.max(1)).rev());
    mirrored.for_each(|(above, below)| above.swap_with_slice(below));
}

/// Pixels of a side in one tile: two tiles of RGB fit the smallest cache.
const TILE: usize = 32;

fn transpose<T>(pixels: &mut [T], side: usize) {
    for top in (0..side).step_by(TILE) {
        for left in (top..side).step_by(TILE) {
            for y in top..(top + TILE).min(side) {
                for x in left.max(y + 1)..(left + TILE).min(side) {
                    pixels.swap(y * side + x, x * side + y);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Grid = Vec<Vec<u8>>;

    /// `numpy.rot90(grid)`: `out[y][x] = grid[x][width - 1 - y]`.
    fn rot90(grid: &Grid) -> Grid {
        (0..grid[0].len()).map(|y| grid.iter().map(|row| row[grid[0].len() - 1 - y]).collect()).collect()
    }

    fn check(height: usize, width: usize, quarters: &[u32]) {
        for (up_down, left_right) in [(false, false), (false, true), (true, false), (true, true)] {
            for &quarters in quarters {
                let mut pixels: Vec<u8> = (0..height * width).map(|at| (at * 7 % 251) as u8).collect();
                let mut grid: Grid = pixels.chunks(width).map(<[u8]>::to_vec).collect();
                if up_down {
                    grid.reverse();
                }
                if left_right {
                    grid.iter_mut().for_each(|row| row.reverse());
                }
                (0..quarters).for_each(|_| grid = rot90(&grid));
                let mut rgb: Vec<u8> = pixels.iter().flat_map(|&value| [value, !value, 3]).collect();
                let moves = Dihedral::new(up_down, left_right, quarters);
                moves.apply::<1>(&mut pixels, height, width);
                moves.apply::<3>(&mut rgb, height, width);
                assert_eq!(pixels, grid.concat(), "{height} x {width}, {up_down} {left_right} {quarters}");
                assert!(rgb.chunks(3).zip(&pixels).all(|(rgb, &value)| rgb == [value, !value, 3]));
            }
        }
    }

    #[test]
    fn flips_and_turns_are_those_of_numpy() {
        for side in [1, 2, 5, 33, 70] {
            check(side, side, &[0, 1, 2, 3]);
        }
        check(3, 8, &[0, 2]);
        check(8, 3, &[0, 2]);
    }
}
