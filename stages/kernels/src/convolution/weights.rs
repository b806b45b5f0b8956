//! The gradient of the weights.
//!
//! A piece of work is one block of outputs by inputs, over one segment of the tiles. Blocks and segments depend on the shapes
//! alone and segments are added in their order, so the sums are the same for any number of threads.

use super::lanes::{Kernel, Lanes, run};
use super::tile::Cut;
use crate::cells::Cells;
use crate::parallel;
use crate::{Area, Element, View};
use rayon::prelude::*;

/// Outputs of a microkernel.
const HEIGHT: usize = 4;
/// The most outputs, and inputs, of a piece of work.
const SIDE: usize = 32;
/// Pieces of work that are wanted, so that all threads have some.
const PIECES: usize = 64;
/// About the pixels of a tile.
const PIXELS: usize = 1024;

/// How the work is cut.
pub(super) struct Plan {
    cut: Cut,
    /// Outputs and inputs of a block.
    block: [usize; 2],
    /// Blocks along outputs and inputs.
    blocks: [usize; 2],
    segments: usize,
    whole: usize,
}

impl Plan {
    pub(super) fn new(inputs: usize, outputs: usize, area: Area) -> Self {
        let even = |all: usize| all.div_ceil(all.div_ceil(SIDE).max(1)).next_multiple_of(HEIGHT);
        let block = [even(outputs), even(inputs).min(inputs.max(1))];
        let blocks = [outputs.div_ceil(block[0].max(1)), inputs.div_ceil(block[1])];
        let all = area.batch * (area.height + 1) * (area.width + 1);
        let wanted = PIECES / (blocks[0] * blocks[1]).max(1);
        let pixels = if wanted > 1 { (all / wanted).clamp(256, PIXELS) } else { PIXELS };
        let cut = Cut::new(area, pixels);
        let segments = wanted.clamp(1, cut.tiles());
        Plan { cut, block, blocks, segments, whole: outputs * inputs * 9 }
    }

    fn scratch(&self) -> usize {
        let [outputs, inputs] = self.block;
        inputs * self.cut.bordered_run() + outputs * self.cut.plain_run() + outputs * inputs * 9
    }

    fn partials(&self) -> usize {
        if self.segments > 1 { self.segments * self.whole } else { 0 }
    }

    /// Values of workspace.
    pub(super) fn workspace(&self) -> usize {
        self.partials() + self.scratch() * rayon::current_num_threads()
    }
}

/// Adds the gradient to `gradient`, `[outputs, inputs, 3, 3]`.
#[allow(unsafe_code, reason = "the rows of a block interleave with those of other blocks")]
pub(super) fn weight_gradient<E: Element>(
    inputs: &[View<'_, E>],
    upstream: &View<'_, E>,
    area: Area,
    gradient: &mut [f32],
    workspace: &mut [f32],
) {
    let (channels, outputs) = (inputs.iter().map(|view| view.channels).sum::<usize>(), upstream.channels);
    let plan = Plan::new(channels, outputs, area);
    let (cut, segments) = (&plan.cut, plan.segments);
    let (partials, scratch) = workspace.split_at_mut(plan.partials());
    let target = Cells::new(if segments > 1 { &mut *partials } else { &mut *gradient });
    let blocks = plan.blocks[0] * plan.blocks[1];
    parallel::each(blocks * segments, scratch, plan.scratch(), |item, scratch| {
        let (segment, block) = (item / blocks, item % blocks);
        let range = |index: usize, size: usize, all: usize| index * size..all.min((index + 1) * size);
        let outs = range(block / plan.blocks[1], plan.block[0], outputs);
        let ins = range(block % plan.blocks[1], plan.block[1], channels);
        let (x, scratch) = scratch.split_at_mut(plan.block[1] * cut.bordered_run());
        let (y, sums) = scratch.split_at_mut(plan.block[0] * cut.plain_run());
        let sums = &mut sums.as_chunks_mut().0[..outs.len().div_ceil(HEIGHT) * ins.len() * 9];
        sums.fill([0.0; HEIGHT]);
        for index in segment * cut.tiles() / segments..(segment + 1) * cut.tiles() / segments {
            let tile = cut.tile(index);
            cut.load_bordered(tile, inputs, ins.clone(), x);
            cut.load_plain(tile, upstream, outs.clone(), y);
            let pixels = tile.rows * cut.stride;
            let (x_run, y_run) = (cut.bordered_run(), cut.plain_run());
            run(Block { x, x_run, stride: cut.stride, y, y_run, pixels, outputs: outs.len(), inputs: ins.len(), sums });
        }
        for (place, output) in outs.enumerate() {
            let base = if segments > 1 { segment * plan.whole } else { 0 };
            let start = base + (output * channels + ins.start) * 9;
            // SAFETY: no other piece of work has this block and segment.
            let target = unsafe { target.part(start, ins.len() * 9) };
            let sums = sums[place / HEIGHT * ins.len() * 9..].iter().map(|sums| sums[place % HEIGHT]);
            if segments > 1 {
                target.iter_mut().zip(sums).for_each(|(target, sum)| *target = sum);
            } else {
                target.iter_mut().zip(sums).for_each(|(target, sum)| *target += sum);
            }
        }
    });
    if segments > 1 {
        let partials = &*partials;
        gradient.par_chunks_mut(1024).enumerate().for_each(|(chunk, gradient)| {
            let mut sums = [0.0; 1024];
            let sums = &mut sums[..gradient.len()];
            for partial in partials.chunks_exact(plan.whole) {
                sums.iter_mut().zip(&partial[chunk * 1024..]).for_each(|(sum, partial)| *sum += partial);
            }
            gradient.iter_mut().zip(&*sums).for_each(|(gradient, sum)| *gradient += sum);
        });
    }
}

/// What one tile adds to the sums of a block.
pub(super) struct Block<'a> {
    pub(super) x: &'a [f32],
    pub(super) x_run: usize,
    pub(super) stride: usize,
    pub(super) y: &'a [f32],
    pub(super) y_run: usize,
    pub(super) pixels: usize,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// `[outputs / 4][inputs][9]`, of 4 outputs each.
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
        let pixels = self.pixels.next_multiple_of(L::COUNT);
        let mut ys: [&[f32]; M] = [&[]; M];
        for (m, y) in ys.iter_mut().enumerate() {
            *y = &self.y[(output + m) * self.y_run..][..pixels];
        }
        for input in 0..self.inputs {
            for ky in 0..3 {
                let x = &self.x[input * self.x_run + ky * self.stride..][..pixels + 2];
                let mut sums = [[L::splat(0.0); M]; 3];
                for pixel in (0..pixels).step_by(L::COUNT) {
                    let row = &x[pixel..][..L::COUNT + 2];
                    let x = [L::load(row), L::load(&row[1..]), L::load(&row[2..])];
                    for (m, y) in ys.iter().enumerate() {
                        let y = L::load(&y[pixel..]);
                        for (sums, x) in sums.iter_mut().zip(x) {
                            sums[m] = sums[m].plus_product(x, y);
                        }
                    }
                }
                let to = &mut self.sums[(output / HEIGHT * self.inputs + input) * 9 + ky * 3..][..3];
                for (to, sums) in to.iter_mut().zip(sums) {
                    let four = std::array::from_fn(|m| if m < M { sums[m] } else { L::splat(0.0) });
                    for (to, total) in to.iter_mut().zip(L::totals(four)) {
                        *to += total;
                    }
                }
            }
        }
    }
}
