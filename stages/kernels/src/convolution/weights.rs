//! The gradient of the weights.
//!
//! A work item is one block of outputs by inputs, over one segment of the tiles. Blocks and segments depend only on the
//! shapes, and segments are added in order, so the sums are the same for any number of threads.

use super::load::Reading;
use super::products::{Block, HEIGHT};
use super::run::run;
use super::taps::{Border, Layout, Pattern, Places};
use super::tile::Cut;
use crate::cells::Cells;
use crate::parallel;
use crate::{Area, Element, View};
use rayon::prelude::*;

/// Number of work items to aim for, so that all threads have some.
const PIECES: usize = 64;

/// How the work is divided.
pub(super) struct Plan {
    pattern: Pattern,
    cut: Cut,
    /// Outputs and inputs per block.
    block: [usize; 2],
    /// Blocks along outputs and inputs.
    blocks: [usize; 2],
    segments: usize,
    whole: usize,
}

impl Plan {
    /// `area` is the output's area.
    pub(super) fn new(pattern: Pattern, inputs: usize, outputs: usize, area: Area) -> Self {
        let (gap, taps, sizes) = (pattern.border.larger(), pattern.most_taps(), pattern.weight_sizes());
        let even = |all: usize, most: usize| all.div_ceil(all.div_ceil(most).max(1)).next_multiple_of(HEIGHT);
        let block = [even(outputs, sizes.sides[0]), even(inputs, sizes.sides[1]).min(inputs.max(1))];
        let blocks = [outputs.div_ceil(block[0].max(1)), inputs.div_ceil(block[1])];
        let all = area.batch * (area.height + gap) * (area.width + gap);
        let wanted = PIECES / (blocks[0] * blocks[1]).max(1);
        let pixels = if wanted > 1 { (all / wanted).clamp(256, sizes.pixels) } else { sizes.pixels };
        let cut = Cut::new(area, pattern.border, pixels);
        let segments = wanted.clamp(1, cut.tiles());
        Plan { pattern, cut, block, blocks, segments, whole: outputs * inputs * taps }
    }

    fn scratch(&self) -> usize {
        let [outputs, inputs] = self.block;
        let reads = inputs * self.pattern.phases * self.cut.bordered_run() + outputs * self.cut.plain_run();
        reads + outputs * inputs * self.pattern.most_taps()
    }

    fn partials(&self) -> usize {
        if self.segments > 1 { self.segments * self.whole } else { 0 }
    }

    /// Number of workspace values.
    pub(super) fn workspace(&self) -> usize {
        self.partials() + self.scratch() * rayon::current_num_threads()
    }
}

/// Adds the gradient to `gradient`, `[outputs, inputs, size, size]`.
#[allow(unsafe_code, reason = "the rows of a block interleave with those of other blocks")]
pub(super) fn weight_gradient<E: Element>(
    plan: &Plan,
    inputs: &[View<'_, E>],
    upstream: &View<'_, E>,
    gradient: &mut [f32],
    workspace: &mut [f32],
) {
    let (channels, outputs) = (inputs.iter().map(|view| view.channels).sum::<usize>(), upstream.channels);
    let Plan { pattern, cut, segments, .. } = *plan;
    let taps = pattern.most_taps();
    let reading = Reading { border: pattern.border, run: cut.bordered_run() };
    let layout = Layout { phases: pattern.phases, run: reading.run, stride: cut.stride };
    let (partials, scratch) = workspace.split_at_mut(plan.partials());
    let target = Cells::new(if segments > 1 { &mut *partials } else { &mut *gradient });
    let blocks = plan.blocks[0] * plan.blocks[1];
    let places = Places::new(pattern.taps(), plan.block[1], layout);
    parallel::each(blocks * segments, scratch, plan.scratch(), |item, scratch| {
        let (segment, block) = (item / blocks, item % blocks);
        let range = |index: usize, size: usize, all: usize| index * size..all.min((index + 1) * size);
        let outs = range(block / plan.blocks[1], plan.block[0], outputs);
        let ins = range(block % plan.blocks[1], plan.block[1], channels);
        let (x, scratch) = scratch.split_at_mut(plan.block[1] * pattern.phases * cut.bordered_run());
        let (y, sums) = scratch.split_at_mut(plan.block[0] * cut.plain_run());
        let sums = &mut sums.as_chunks_mut().0[..outs.len().div_ceil(HEIGHT) * ins.len() * taps];
        sums.fill([0.0; HEIGHT]);
        for index in segment * cut.tiles() / segments..(segment + 1) * cut.tiles() / segments {
            let tile = cut.tile(index);
            if pattern.read == 1 {
                cut.load(tile, inputs, ins.clone(), reading, x);
            } else {
                cut.load_phases(tile, inputs, ins.clone(), (reading, pattern.phases), x);
            }
            let plain = Reading { border: Border::NONE, run: cut.plain_run() };
            cut.load(tile, std::slice::from_ref(upstream), outs.clone(), plain, y);
            let pixels = tile.rows * cut.stride;
            let (places, neighbours) = (places.of(ins.len()), places.neighbours);
            run(Block { x, places, neighbours, y, y_run: plain.run, pixels, outputs: outs.len(), sums });
        }
        for (place, output) in outs.enumerate() {
            let base = if segments > 1 { segment * plan.whole } else { 0 };
            let start = base + (output * channels + ins.start) * taps;
            // SAFETY: no other work item has this block and segment.
            let target = unsafe { target.part(start, ins.len() * taps) };
            let sums = sums[place / HEIGHT * ins.len() * taps..].iter().map(|sums| sums[place % HEIGHT]);
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
