//! The convolution itself, forward and, with its kernels turned, backward to its input.
//!
//! A piece of work is one tile and one group of outputs. The inputs come in chunks of channels: a chunk's tile is read into
//! scratch memory, and a microkernel adds what it gives to 6 outputs by 2 vectors of pixels at a time, held in registers.

use super::lanes::{Kernel, Lanes, run};
use super::tile::{BLOCK, Cut};
use crate::cells::Cells;
use crate::parallel;
use crate::{Area, Element, View};
use std::ops::Range;

/// Where the 3x3 kernel of an output and an input is.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) kernels: &'a [[f32; 9]],
    /// From an output to the next.
    pub(super) output_step: usize,
    /// From an input to the next.
    pub(super) input_step: usize,
    /// The kernels are turned by 180 degrees.
    pub(super) turned: bool,
}

/// Outputs of a microkernel.
const HEIGHT: usize = 6;
/// The most blocks of so many outputs in a piece of work.
const GROUP: usize = 11;
/// About the most pixels of a tile.
const PIXELS: usize = 1024;
/// The most input channels of a chunk.
const CHUNK: usize = 48;

/// How the work is cut.
pub(super) struct Plan {
    cut: Cut,
    chunk: usize,
    group: usize,
    groups: usize,
    tile: usize,
    weights: usize,
    sums: usize,
}

impl Plan {
    pub(super) fn new(inputs: usize, outputs: usize, area: Area) -> Self {
        let chunk = inputs.div_ceil(inputs.div_ceil(CHUNK).max(1)).max(1);
        let blocks = outputs.div_ceil(HEIGHT);
        let group = blocks.div_ceil(blocks.div_ceil(GROUP).max(1)) * HEIGHT;
        let groups = outputs.div_ceil(group.max(1));
        let threads = rayon::current_num_threads();
        let all = area.batch * (area.height + 1) * (area.width + 1) * groups;
        let cut = Cut::new(area, PIXELS.min(all / (4 * threads)).max(4 * BLOCK));
        let tile = chunk * cut.bordered_run();
        Plan { cut, chunk, group, groups, tile, weights: chunk * 9 * group, sums: group * cut.plain_run() }
    }

    fn scratch(&self) -> usize {
        self.tile + self.weights + self.sums
    }

    /// Values of workspace.
    pub(super) fn workspace(&self) -> usize {
        self.scratch() * rayon::current_num_threads()
    }
}

/// Writes every value of `out`, `[batch, outputs, height, width]`.
pub(super) fn correlate<E: Element>(
    inputs: &[View<'_, E>],
    taps: Taps<'_>,
    outputs: usize,
    area: Area,
    out: &mut [E],
    workspace: &mut [f32],
) {
    let channels = inputs.iter().map(|view| view.channels).sum();
    let plan = Plan::new(channels, outputs, area);
    let out = Cells::new(out);
    let cut = &plan.cut;
    parallel::each(cut.tiles() * plan.groups, workspace, plan.scratch(), |item, scratch| {
        let (index, group) = (item / plan.groups, item % plan.groups);
        let tile = cut.tile(index);
        let outs = group * plan.group..outputs.min((group + 1) * plan.group);
        let (x, scratch) = scratch.split_at_mut(plan.tile);
        let (weights, sums) = scratch.split_at_mut(plan.weights);
        for from in (0..channels).step_by(plan.chunk) {
            let chunk = from..channels.min(from + plan.chunk);
            cut.load_bordered(tile, inputs, chunk.clone(), x);
            pack(taps, outs.clone(), chunk.clone(), weights);
            run(Chunk {
                x,
                x_run: cut.bordered_run(),
                stride: cut.stride,
                channels: chunk.len(),
                weights,
                outputs: outs.len(),
                sums,
                sums_run: cut.plain_run(),
                pixels: tile.rows * cut.stride,
                first: from == 0,
            });
        }
        for (channel, sums) in outs.zip(sums.chunks_exact(cut.plain_run())) {
            store(cut, tile, outputs, channel, sums, &out);
        }
    });
}

#[allow(unsafe_code, reason = "the rows of a tile interleave with those of other tiles")]
fn store<E: Element>(cut: &Cut, tile: super::tile::Tile, outputs: usize, channel: usize, sums: &[f32], out: &Cells<'_, E>) {
    cut.sample_rows(tile, |row, sample, y| {
        let (start, length) = cut.place(tile, outputs, channel, sample, y);
        // SAFETY: no other piece of work has this tile and output, and rows are written one after the other.
        let row_out = unsafe { out.part(start, length) };
        E::narrow(&sums[row * cut.stride..][..length], row_out);
    });
}

/// Copies weights to `[outputs / 6][inputs][9][6]`; the last outputs may be fewer than 6.
fn pack(taps: Taps<'_>, outputs: Range<usize>, inputs: Range<usize>, to: &mut [f32]) {
    let mut to = &mut to[..outputs.len() * inputs.len() * 9];
    for first in outputs.clone().step_by(HEIGHT) {
        let (block, rest) = to.split_at_mut(HEIGHT.min(outputs.end - first) * inputs.len() * 9);
        to = rest;
        let from = &taps.kernels[first * taps.output_step + inputs.start * taps.input_step..];
        match outputs.end - first {
            1 => pack_block::<1>(taps, from, block),
            2 => pack_block::<2>(taps, from, block),
            3 => pack_block::<3>(taps, from, block),
            4 => pack_block::<4>(taps, from, block),
            5 => pack_block::<5>(taps, from, block),
            _ => pack_block::<HEIGHT>(taps, from, block),
        }
    }
}

fn pack_block<const M: usize>(taps: Taps<'_>, from: &[[f32; 9]], to: &mut [f32]) {
    for (input, to) in to.as_chunks_mut::<M>().0.as_chunks_mut::<9>().0.iter_mut().enumerate() {
        let kernels: [&[f32; 9]; M] = std::array::from_fn(|m| &from[m * taps.output_step + input * taps.input_step]);
        for (tap, to) in to.iter_mut().enumerate() {
            let tap = if taps.turned { 8 - tap } else { tap };
            *to = kernels.map(|kernel| kernel[tap]);
        }
    }
}

/// What one chunk of input channels adds to the sums of a tile.
pub(super) struct Chunk<'a> {
    pub(super) x: &'a [f32],
    pub(super) x_run: usize,
    pub(super) stride: usize,
    pub(super) channels: usize,
    pub(super) weights: &'a [f32],
    pub(super) outputs: usize,
    pub(super) sums: &'a mut [f32],
    pub(super) sums_run: usize,
    pub(super) pixels: usize,
    pub(super) first: bool,
}

impl Kernel for Chunk<'_> {
    #[inline(always)]
    fn run<L: Lanes>(mut self) {
        for pixel in (0..self.pixels).step_by(2 * L::COUNT) {
            let size = self.channels * 9 * HEIGHT;
            let full = self.outputs / HEIGHT;
            for block in 0..full {
                self.block::<6, L>(pixel, block * HEIGHT, block * size);
            }
            match self.outputs % HEIGHT {
                1 => self.block::<1, L>(pixel, full * HEIGHT, full * size),
                2 => self.block::<2, L>(pixel, full * HEIGHT, full * size),
                3 => self.block::<3, L>(pixel, full * HEIGHT, full * size),
                4 => self.block::<4, L>(pixel, full * HEIGHT, full * size),
                5 => self.block::<5, L>(pixel, full * HEIGHT, full * size),
                _ => {}
            }
        }
    }
}

impl Chunk<'_> {
    /// `M` outputs from `output` on by 2 vectors of pixels from `pixel` on.
    #[inline(always)]
    fn block<const M: usize, L: Lanes>(&mut self, pixel: usize, output: usize, weights: usize) {
        let mut sums = [[L::splat(0.0); 2]; M];
        if !self.first {
            for (m, sums) in sums.iter_mut().enumerate() {
                let from = &self.sums[(output + m) * self.sums_run + pixel..][..2 * L::COUNT];
                *sums = [L::load(from), L::load(&from[L::COUNT..])];
            }
        }
        let weights = &self.weights[weights..][..self.channels * 9 * M];
        for (channel, weights) in weights.chunks_exact(9 * M).enumerate() {
            for ky in 0..3 {
                let row = &self.x[channel * self.x_run + ky * self.stride + pixel..][..2 * L::COUNT + 2];
                for kx in 0..3 {
                    let x = [L::load(&row[kx..]), L::load(&row[kx + L::COUNT..])];
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let weight = L::splat(weights[(ky * 3 + kx) * M + m]);
                        for (sum, x) in sums.iter_mut().zip(x) {
                            *sum = sum.plus_product(x, weight);
                        }
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
