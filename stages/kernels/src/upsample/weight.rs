//! The weight and bias gradients of the transposed convolution.

use super::windows::windows;
use crate::bands::run;
use crate::dispatch::{Kernel, multiply_add, widest};
use crate::rows::{Plane, ROW, check};
use crate::{Area, Element, View, channel_sums};

/// Inputs and outputs of a task, and pixels that it holds at a time.
const INPUTS: usize = 63;
const OUTPUTS: usize = 32;
const PIXELS: usize = ROW;

/// Inputs whose products with an output's four positions are summed in registers, side by side.
const SIDE: usize = 3;
const LANES: usize = 8;

/// Workspace values per thread.
pub(super) fn workspace() -> usize {
    (INPUTS + 4 * OUTPUTS) * PIXELS
}

/// Adds the gradients of weight and bias: `weight[c, o, i, j] += sum in[c, y, x] * upstream[o, 2y + i, 2x + j]` and
/// `bias[o] += sum upstream[o, y, x]`, over samples and pixels.
///
/// `area` is the input's area; `upstream` is `[batch, outputs, 2 height, 2 width]`, `weight` `[inputs, outputs, 2, 2]`,
/// `bias` `[outputs]`. The workspace has [`super::upsample_workspace`] values.
///
/// # Panics
/// When sizes disagree, the workspace is too small, or planes are empty.
pub fn upsample_weight_gradient<E: Element>(
    input: View<'_, E>,
    upstream: &[E],
    outputs: usize,
    area: Area,
    weight: &mut [f32],
    bias: &mut [f32],
    scratch: &mut [f32],
) {
    let inputs = input.channels;
    check(&input, area);
    assert_eq!(upstream.len(), area.values(outputs) * 4, "the upstream's size");
    assert_eq!([weight.len(), bias.len()], [inputs * outputs * 4, outputs], "the sizes of weight and bias");
    channel_sums(upstream, outputs, Area { height: 2 * area.height, width: 2 * area.width, ..area }, bias);
    let blocks = outputs.div_ceil(OUTPUTS);
    let mut tasks: Vec<Block<'_>> = Vec::new();
    for (number, rows) in weight.chunks_mut(INPUTS * outputs * 4).enumerate() {
        let old = tasks.len();
        tasks.extend((0..blocks).map(|block| Block { input: number * INPUTS, output: block * OUTPUTS, rows: Vec::new() }));
        for row in rows.chunks_mut(outputs * 4) {
            for (task, part) in tasks[old..].iter_mut().zip(row.chunks_mut(OUTPUTS * 4)) {
                task.rows.push(part);
            }
        }
    }
    let layer = Layer { input, upstream, outputs, area };
    run(tasks, scratch, workspace(), |block, workspace| {
        widest(AddBlock { layer: &layer, block, workspace });
    });
}

struct Layer<'a, E> {
    input: View<'a, E>,
    upstream: &'a [E],
    outputs: usize,
    area: Area,
}

/// A block of the weight: the rows of some inputs, limited to some outputs.
struct Block<'a> {
    input: usize,
    output: usize,
    rows: Vec<&'a mut [f32]>,
}

struct AddBlock<'a, E> {
    layer: &'a Layer<'a, E>,
    block: Block<'a>,
    workspace: &'a mut [f32],
}

impl<E: Element> Kernel for AddBlock<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { layer, mut block, workspace } = self;
        let (inputs, pixels) = (layer.input.channels, layer.area.pixels());
        let (left, right) = workspace.split_at_mut(INPUTS * PIXELS);
        let (rows, columns) = (block.rows.len(), block.rows.first().map_or(0, |row| row.len()));
        for sample in 0..layer.area.batch {
            for start in (0..pixels).step_by(PIXELS) {
                let count = PIXELS.min(pixels - start);
                for (row, to) in left.chunks_mut(PIXELS).take(rows).enumerate() {
                    let plane = Plane::of(&layer.input, sample * inputs + block.input + row, pixels);
                    plane.read(start, &mut to[..count]);
                    to[count..].fill(0.0);
                }
                let planes = layer.upstream.chunks(4 * pixels).skip(sample * layer.outputs + block.output);
                for (to, plane) in right.chunks_mut(4 * PIXELS).take(columns / 4).zip(planes) {
                    for (lower, to) in to.chunks_mut(2 * PIXELS).enumerate() {
                        let (even, odd) = to.split_at_mut(PIXELS);
                        windows(plane, layer.area.width, lower, start, &mut even[..count], &mut odd[..count]);
                        even[count..].fill(0.0);
                        odd[count..].fill(0.0);
                    }
                }
                add_products::<FUSED>(left, right, count.next_multiple_of(LANES), &mut block.rows);
            }
        }
    }
}

/// Adds the products of all pairs of rows to the weight's rows.
#[inline(always)]
fn add_products<const FUSED: bool>(left: &[f32], right: &[f32], count: usize, rows: &mut [&mut [f32]]) {
    for (rows, left) in rows.chunks_mut(SIDE).zip(left.chunks(SIDE * PIXELS)) {
        let side: [&[[f32; LANES]]; SIDE] = std::array::from_fn(|row| left[row * PIXELS..][..count].as_chunks().0);
        let outputs = rows[0].len() / 4;
        for (output, right) in right.chunks(4 * PIXELS).take(outputs).enumerate() {
            let positions: [&[[f32; LANES]]; 4] = std::array::from_fn(|row| right[row * PIXELS..][..count].as_chunks().0);
            let sums = kernel::<FUSED>(side, positions);
            // Rows beyond the last hold values from an earlier block; their results reach no weight.
            for (row, sums) in rows.iter_mut().zip(&sums) {
                for (to, lanes) in row[4 * output..][..4].iter_mut().zip(sums) {
                    *to += total(lanes);
                }
            }
        }
    }
}

#[inline(always)]
fn kernel<const FUSED: bool>(left: [&[[f32; LANES]]; SIDE], right: [&[[f32; LANES]]; 4]) -> [[[f32; LANES]; 4]; SIDE] {
    let mut sums = [[[0.0f32; LANES]; 4]; SIDE];
    let count = left[0].len();
    let (left, right) = (left.map(|row| &row[..count]), right.map(|row| &row[..count]));
    for step in 0..count {
        // In this order, sixteen registers suffice.
        let side: [[f32; LANES]; SIDE] = std::array::from_fn(|row| left[row][step]);
        for position in 0..4 {
            let right = right[position][step];
            for row in 0..SIDE {
                for lane in 0..LANES {
                    let sum = &mut sums[row][position][lane];
                    *sum = multiply_add::<FUSED>(side[row][lane], right[lane], *sum);
                }
            }
        }
    }
    sums
}

#[inline(always)]
fn total(lanes: &[f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = *lanes;
    ((a + e) + (b + f)) + ((c + g) + (d + h))
}
