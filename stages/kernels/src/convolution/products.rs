//! The innermost loops of the weight gradient: products of 4 outputs and 3 shifted inputs, summed over the pixels of a tile.

use super::lanes::{Kernel, Lanes};

/// Outputs per microkernel.
pub(super) const HEIGHT: usize = 4;
/// Inputs per microkernel, each as one tap reads it.
const WIDTH: usize = 3;

/// The contribution of one tile to the sums of a block.
pub(super) struct Block<'a> {
    pub(super) x: &'a [f32],
    /// For each input and each of its taps, the offset that the tile's first pixel reads. Where taps read neighbouring
    /// pixels, only the first of them has an offset.
    pub(super) places: &'a [usize],
    /// Number of consecutive taps that read neighbouring pixels: 3 or 1.
    pub(super) neighbours: usize,
    pub(super) y: &'a [f32],
    /// Distance from one output to the next.
    pub(super) y_run: usize,
    pub(super) pixels: usize,
    pub(super) outputs: usize,
    /// `[outputs / 4][inputs][taps]`, of 4 outputs each.
    pub(super) sums: &'a mut [[f32; HEIGHT]],
}

impl Kernel for Block<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        let full = self.outputs / HEIGHT * HEIGHT;
        for output in (0..full).step_by(HEIGHT) {
            self.rows::<4, L>(output);
        }
        match self.outputs % HEIGHT {
            1 => self.rows::<1, L>(full),
            2 => self.rows::<2, L>(full),
            3 => self.rows::<3, L>(full),
            _ => {}
        }
    }
}

impl Block<'_> {
    /// `M` outputs from `output` on.
    #[inline(always)]
    fn rows<const M: usize, L: Lanes>(&mut self, output: usize) {
        if self.neighbours == WIDTH {
            self.adjacent::<M, L>(output);
            return;
        }
        let (full, rest) = self.places.as_chunks::<WIDTH>();
        for (group, places) in full.iter().enumerate() {
            self.apart::<M, WIDTH, L>(output, group * WIDTH, *places);
        }
        match *rest {
            [a, b] => self.apart::<M, 2, L>(output, full.len() * WIDTH, [a, b]),
            [a] => self.apart::<M, 1, L>(output, full.len() * WIDTH, [a]),
            _ => {}
        }
    }

    /// `M` outputs from `output` on, by all taps, where each group of three taps reads neighbouring pixels.
    #[inline(always)]
    fn adjacent<const M: usize, L: Lanes>(&mut self, output: usize) {
        let pixels = self.pixels.next_multiple_of(L::COUNT);
        let mut ys: [&[f32]; M] = [&[]; M];
        for (m, y) in ys.iter_mut().enumerate() {
            *y = &self.y[(output + m) * self.y_run..][..pixels];
        }
        for (row, place) in self.places.iter().enumerate() {
            let x = &self.x[*place..][..pixels + WIDTH - 1];
            let mut sums = [[L::splat(0.0); M]; WIDTH];
            for pixel in (0..pixels).step_by(L::COUNT) {
                let row = &x[pixel..][..L::COUNT + WIDTH - 1];
                let x = [L::load(row), L::load(&row[1..]), L::load(&row[2..])];
                for (m, y) in ys.iter().enumerate() {
                    let y = L::load(&y[pixel..]);
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[m] = sums[m].plus_product(x, y);
                    }
                }
            }
            self.add(output, row * WIDTH, sums);
        }
    }

    /// `M` outputs from `output` on, by `N` taps from `first` on, which may read anywhere.
    #[inline(always)]
    fn apart<const M: usize, const N: usize, L: Lanes>(&mut self, output: usize, first: usize, places: [usize; N]) {
        let pixels = self.pixels.next_multiple_of(L::COUNT);
        let mut ys: [&[f32]; M] = [&[]; M];
        for (m, y) in ys.iter_mut().enumerate() {
            *y = &self.y[(output + m) * self.y_run..][..pixels];
        }
        let mut xs: [&[f32]; N] = [&[]; N];
        for (x, place) in xs.iter_mut().zip(places) {
            *x = &self.x[place..][..pixels];
        }
        let mut sums = [[L::splat(0.0); M]; N];
        for pixel in (0..pixels).step_by(L::COUNT) {
            let mut x = [L::splat(0.0); N];
            for (x, from) in x.iter_mut().zip(xs) {
                *x = L::load(&from[pixel..]);
            }
            for (m, y) in ys.iter().enumerate() {
                let y = L::load(&y[pixel..]);
                for (sums, x) in sums.iter_mut().zip(x) {
                    sums[m] = sums[m].plus_product(x, y);
                }
            }
        }
        self.add(output, first, sums);
    }

    /// Adds the lanes of `M` outputs from `output` on, by `N` taps from `first` on.
    #[inline(always)]
    fn add<const M: usize, const N: usize, L: Lanes>(&mut self, output: usize, first: usize, sums: [[L; M]; N]) {
        let taps = self.places.len() * self.neighbours;
        let to = &mut self.sums[output / HEIGHT * taps + first..][..N];
        for (to, sums) in to.iter_mut().zip(sums) {
            let four = std::array::from_fn(|m| if m < M { sums[m] } else { L::splat(0.0) });
            for (to, total) in to.iter_mut().zip(L::totals(four)) {
                *to += total;
            }
        }
    }
}
