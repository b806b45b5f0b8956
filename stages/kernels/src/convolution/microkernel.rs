//! The innermost loops of the convolution and its input gradient: 6 outputs by 2 vectors of pixels, held in registers.

use super::lanes::{Kernel, Lanes};

/// Outputs of a microkernel.
pub(super) const HEIGHT: usize = 6;

/// The contribution of one chunk of input channels to the sums of a tile.
pub(super) struct Chunk<'a> {
    pub(super) x: &'a [f32],
    /// For each input and each of its taps, the offset that the tile's first pixel reads. Where taps read neighbouring
    /// pixels, only the first of them has an offset.
    pub(super) places: &'a [usize],
    /// Number of consecutive taps that read neighbouring pixels: 3 or 1.
    pub(super) neighbours: usize,
    /// `[outputs / 6][inputs][taps][6]`; the last outputs may be fewer than 6.
    pub(super) weights: &'a [f32],
    pub(super) outputs: usize,
    pub(super) sums: &'a mut [f32],
    /// Distance from one output's sums to the next.
    pub(super) sums_run: usize,
    pub(super) pixels: usize,
    /// Whether this is the first chunk, which starts the sums.
    pub(super) first: bool,
}

impl Kernel for Chunk<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        if self.neighbours == 3 { self.blocks::<3, L>() } else { self.blocks::<1, L>() }
    }
}

impl Chunk<'_> {
    /// All outputs and pixels, where `K` consecutive taps read neighbouring pixels.
    #[inline(always)]
    fn blocks<const K: usize, L: Lanes>(&mut self) {
        for pixel in (0..self.pixels).step_by(2 * L::COUNT) {
            let size = self.places.len() * K * HEIGHT;
            let full = self.outputs / HEIGHT;
            for block in 0..full {
                self.block::<6, K, L>(pixel, block * HEIGHT, block * size);
            }
            match self.outputs % HEIGHT {
                1 => self.block::<1, K, L>(pixel, full * HEIGHT, full * size),
                2 => self.block::<2, K, L>(pixel, full * HEIGHT, full * size),
                3 => self.block::<3, K, L>(pixel, full * HEIGHT, full * size),
                4 => self.block::<4, K, L>(pixel, full * HEIGHT, full * size),
                5 => self.block::<5, K, L>(pixel, full * HEIGHT, full * size),
                _ => {}
            }
        }
    }

    /// `M` outputs from `output` on, by 2 vectors of pixels from `pixel` on.
    #[inline(always)]
    fn block<const M: usize, const K: usize, L: Lanes>(&mut self, pixel: usize, output: usize, weights: usize) {
        let mut sums = [[L::splat(0.0); 2]; M];
        if !self.first {
            for (m, sums) in sums.iter_mut().enumerate() {
                let from = &self.sums[(output + m) * self.sums_run + pixel..][..2 * L::COUNT];
                *sums = [L::load(from), L::load(&from[L::COUNT..])];
            }
        }
        let weights = self.weights[weights..][..self.places.len() * K * M].as_chunks::<M>().0.as_chunks::<K>().0;
        for (place, weights) in self.places.iter().zip(weights) {
            let row = &self.x[place + pixel..][..2 * L::COUNT + K - 1];
            for (k, weights) in weights.iter().enumerate() {
                let x = [L::load(&row[k..]), L::load(&row[k + L::COUNT..])];
                for (sums, weight) in sums.iter_mut().zip(weights) {
                    let weight = L::splat(*weight);
                    for (sum, x) in sums.iter_mut().zip(x) {
                        *sum = sum.plus_product(x, weight);
                    }
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            let to = &mut self.sums[(output + m) * self.sums_run + pixel..][..2 * L::COUNT];
            for (n, sum) in sums.iter().enumerate() {
                sum.store(&mut to[n * L::COUNT..]);
            }
        }
    }
}
