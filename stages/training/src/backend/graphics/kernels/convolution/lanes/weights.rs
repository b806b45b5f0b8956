//! The way of the weights into shared memory.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::forward::Weights;
use super::form::Form;

/// Writes the weights of some input and output channels, of all taps that the form reads, to shared memory as
/// `[taps, input channels, output channels]`. What lies beyond the last channel is some other weight: it is multiplied by zero,
/// or its product is not stored.
#[cube]
pub(super) fn load<W: Size, O: Size>(
    weights: &Weights<f32, W>,
    stage: &mut [Vector<f32, O>],
    input: u32,
    output: u32,
    #[comptime] form: Form,
) {
    if comptime!(form.phase.is_some()) {
        load_transposed::<W, O>(weights, stage, output, input, form);
    } else {
        load_plain::<W, O>(weights, stage, input, output, form);
    }
}

/// The form reads all taps, and the weights' vectors are those of the output.
#[cube]
fn load_plain<W: Size, O: Size>(
    weights: &Weights<f32, W>,
    stage: &mut [Vector<f32, O>],
    input: u32,
    output: u32,
    #[comptime] form: Form,
) {
    let across = comptime!((form.outputs() / form.written) as u32);
    let depth = comptime!(form.tile.depth as u32);
    let count = comptime!(form.weights() / form.written);
    #[unroll]
    for turn in 0..comptime!(count.div_ceil(form.units())) {
        let at = UNIT_POS + comptime!((turn * form.units()) as u32);
        let (row, column) = (at / across, at % across);
        let channel = min(input + row % depth, weights.inputs - 1);
        let vector = min(output / comptime!(form.written as u32) + column, weights.vectors - 1);
        if at < comptime!(count as u32) {
            let from = (row / depth * weights.inputs + channel) * weights.vectors + vector;
            stage[at as usize] = Vector::cast_from(weights.packed[from as usize]);
        }
    }
}

/// The weights' rows are the form's output channels, and their vectors its input channels: a unit transposes a small block.
#[cube]
fn load_transposed<W: Size, O: Size>(
    weights: &Weights<f32, W>,
    stage: &mut [Vector<f32, O>],
    row: u32,
    column: u32,
    #[comptime] form: Form,
) {
    let (size, written) = (W::value(), O::value());
    let (down, right) = comptime!((form.taps(0), form.taps(1)));
    let across = comptime!((form.outputs() / written) as u32);
    let deep = comptime!((form.tile.depth / size) as u32);
    let count = comptime!(form.weights() / written / size);
    #[unroll]
    for turn in 0..comptime!(count.div_ceil(form.units())) {
        let at = UNIT_POS + comptime!((turn * form.units()) as u32);
        let (deeper, above) = (at % deep, at / deep);
        let (output, place) = (above % across, above / across);
        let (y, x) = (place / comptime!(right.count as u32), place % comptime!(right.count as u32));
        let y = comptime!(down.first as u32) - y * comptime!(down.step as u32);
        let x = comptime!(right.first as u32) - x * comptime!(right.step as u32);
        let vector = min(column / comptime!(size as u32) + deeper, weights.vectors - 1);
        if at < comptime!(count as u32) {
            let mut rows = Array::<Vector<f32, W>>::new(written);
            #[unroll]
            for lane in 0..written {
                let channel = min(row + output * comptime!(written as u32) + lane as u32, weights.inputs - 1);
                let tap = y * comptime!(form.size as u32) + x;
                rows[lane] = weights.packed[((tap * weights.inputs + channel) * weights.vectors + vector) as usize];
            }
            #[unroll]
            for step in 0..size {
                let mut made = Vector::<f32, O>::new(0.0f32);
                #[unroll]
                for lane in 0..written {
                    made.insert(lane, rows[lane].extract(step));
                }
                let to = (place * deep + deeper) as usize * size + step;
                stage[to * across as usize + output as usize] = made;
            }
        }
    }
}
