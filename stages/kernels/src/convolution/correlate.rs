//! The convolution itself: forward and, with the kernels rotated, backward to the input.
//!
//! A work item is one tile and one group of outputs. The inputs come in chunks of channels: a chunk's tile is read into
//! scratch memory, and a microkernel adds its contribution to the outputs' sums. With a stride of 2, the input gradient has
//! sums for four phases, which are interleaved when they are stored.

use super::epilogue::{Epilogue, Interleave};
use super::load::Reading;
use super::microkernel::{Chunk, HEIGHT};
use super::pack::{Kernels, pack};
use super::run::run;
use super::taps::{Border, Layout, Pattern, Places};
use super::tile::{BLOCK, Cut, Tile, WIDEST};
use crate::cells::Cells;
use crate::parallel;
use crate::{Area, Element, View};

/// How the work is divided.
pub(super) struct Plan {
    pattern: Pattern,
    cut: Cut,
    chunk: usize,
    group: usize,
    groups: usize,
    tile: usize,
    weights: usize,
    sums: usize,
}

impl Plan {
    /// `area` is the area of one phase, of the map that is read and of the map that is written.
    pub(super) fn new(pattern: Pattern, inputs: usize, outputs: usize, area: Area) -> Self {
        let parts = pattern.parts().len();
        let sizes = pattern.sizes();
        let chunk = inputs.div_ceil(inputs.div_ceil(sizes.chunk).max(1)).max(1);
        let blocks = outputs.div_ceil(HEIGHT);
        let group = blocks.div_ceil(blocks.div_ceil(sizes.group).max(1)) * HEIGHT;
        let groups = outputs.div_ceil(group.max(1));
        let threads = rayon::current_num_threads();
        let gap = pattern.border.larger();
        let all = area.batch * (area.height + gap) * (area.width + gap) * groups;
        let cut = Cut::new(area, pattern.border, sizes.pixels.min(all / (4 * threads)).max(4 * BLOCK));
        let tile = chunk * pattern.phases * cut.bordered_run();
        let weights = chunk * pattern.most_taps() * group;
        Plan { pattern, cut, chunk, group, groups, tile, weights, sums: parts * group * cut.plain_run() }
    }

    fn scratch(&self) -> usize {
        self.tile + self.weights + self.sums
    }

    /// Number of workspace values.
    pub(super) fn workspace(&self) -> usize {
        self.scratch() * rayon::current_num_threads()
    }
}

/// Writes every value of `out`, `[batch, outputs, height, width]`.
pub(super) fn correlate<E: Element>(
    plan: &Plan,
    inputs: &[View<'_, E>],
    kernels: Kernels<'_>,
    outputs: usize,
    epilogue: Epilogue<'_>,
    out: &mut [E],
    workspace: &mut [f32],
) {
    let channels: usize = inputs.iter().map(|view| view.channels).sum();
    let Plan { pattern, cut, .. } = plan;
    let reading = Reading { border: pattern.border, run: cut.bordered_run() };
    let layout = Layout { phases: pattern.phases, run: reading.run, stride: cut.stride };
    let places: Vec<_> = pattern.parts().iter().map(|taps| Places::new(taps, plan.chunk, layout)).collect();
    let target = Target {
        cut,
        phases: pattern.written,
        parts: places.len(),
        part_sums: plan.group * cut.plain_run(),
        outputs,
        out: Cells::new(out),
    };
    parallel::each(cut.tiles() * plan.groups, workspace, plan.scratch(), |item, scratch| {
        let (index, group) = (item / plan.groups, item % plan.groups);
        let tile = cut.tile(index);
        let outs = group * plan.group..outputs.min((group + 1) * plan.group);
        let (x, scratch) = scratch.split_at_mut(plan.tile);
        let (weights, sums) = scratch.split_at_mut(plan.weights);
        for from in (0..channels).step_by(plan.chunk) {
            let chunk = from..channels.min(from + plan.chunk);
            if pattern.read == 1 {
                cut.load(tile, inputs, chunk.clone(), reading, x);
            } else {
                cut.load_phases(tile, inputs, chunk.clone(), (reading, pattern.phases), x);
            }
            for ((taps, places), sums) in pattern.parts().iter().zip(&places).zip(sums.chunks_exact_mut(target.part_sums)) {
                pack(kernels, taps.as_slice(), outs.clone(), chunk.clone(), weights);
                run(Chunk {
                    x,
                    places: places.of(chunk.len()),
                    neighbours: places.neighbours,
                    weights,
                    outputs: outs.len(),
                    sums,
                    sums_run: cut.plain_run(),
                    pixels: tile.rows * cut.stride,
                    first: from == 0,
                });
            }
        }
        for (place, channel) in outs.enumerate() {
            let sums = &mut sums[place * cut.plain_run()..];
            if pattern.written == 1 {
                target.store(tile, channel, epilogue, sums);
            } else {
                target.store_phases(tile, channel, sums);
            }
        }
    });
}

const ZEROS: [f32; WIDEST] = [0.0; WIDEST];

/// The map that is written.
struct Target<'a, E> {
    cut: &'a Cut,
    /// Phases along a side.
    phases: usize,
    /// Number of phases that have sums; the others are zero.
    parts: usize,
    /// Distance in values from one phase's sums to the next.
    part_sums: usize,
    outputs: usize,
    out: Cells<'a, E>,
}

impl<E: Element> Target<'_, E> {
    /// Stores a tile of one output.
    fn store(&self, tile: Tile, output: usize, epilogue: Epilogue<'_>, sums: &mut [f32]) {
        epilogue.apply(output, &mut sums[..tile.rows * self.cut.stride]);
        self.cut.sample_rows(tile, Border::NONE, |row, sample, y| {
            self.write(tile, output, sample, y, &sums[row * self.cut.stride..][..tile.columns]);
        });
    }

    /// Stores a tile of each of the four phases of one output.
    fn store_phases(&self, tile: Tile, output: usize, sums: &[f32]) {
        let mut wide = [0.0; 2 * WIDEST];
        let wide = &mut wide[..2 * tile.columns];
        self.cut.sample_rows(tile, Border::NONE, |row, sample, y| {
            for lower in 0..2 {
                let part = |phase: usize| match phase < self.parts {
                    true => &sums[phase * self.part_sums + row * self.cut.stride..][..tile.columns],
                    false => &ZEROS[..tile.columns],
                };
                run(Interleave { even: part(2 * lower), odd: part(2 * lower + 1), to: wide });
                self.write(tile, output, sample, 2 * y + lower, wide);
            }
        });
    }

    /// Writes the tile's part of a row.
    #[allow(unsafe_code, reason = "the rows of a tile interleave with those of other tiles")]
    fn write(&self, tile: Tile, output: usize, sample: usize, y: usize, values: &[f32]) {
        let Area { height, width, .. } = self.cut.area;
        let row = (sample * self.outputs + output) * self.phases * height + y;
        let start = (row * width + tile.left) * self.phases;
        // SAFETY: no other work item has this tile and output, and rows are written one after the other.
        let out = unsafe { self.out.part(start, values.len()) };
        E::narrow(values, out);
    }
}
