//! The convolution and its input gradient: one cube per tile of output pixels and block of output channels. A unit keeps the sums
//! of its pixels and channels in registers, and a pixel that it reads serves all of the kernel's rows.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::forward::Weights;
use super::super::output::Output;
use super::super::source::{Halo, Source};
use super::form::Form;
use super::output::{Unit, finish};
use super::weights::load;

/// A convolution over its inputs' channels in turn. `before` is the first input channel that the weights' rows start at; for an
/// input gradient, the first of the wanted channels.
#[cube(launch, address_type = "dynamic")]
pub(super) fn convolve_kernel<E: Float, N: Size, W: Size, O: Size>(
    sources: &Sequence<Source<E, N>>,
    weights: &Weights<f32, W>,
    output: &mut Output<E, O>,
    height: u32,
    width: u32,
    before: u32,
    #[comptime] form: Form,
    #[define(E)] _dtype: ElemType,
) {
    let (size, staging) = (N::value(), comptime!(form.staging()));
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!((staging.length() / form.read).max(1)));
    // A phase that no tap reaches has none, and WGSL no arrays without elements.
    let mut stage = Shared::<[Vector<f32, O>]>::new_slice(comptime!((form.weights() / form.written).max(1)));

    let across = UNIT_POS % comptime!(form.tile.across as u32);
    let pixel = UNIT_POS / comptime!(form.tile.across as u32);
    let x = pixel % comptime!(form.tile.wide as u32);
    let y = pixel / comptime!(form.tile.wide as u32) * comptime!(form.tile.rows as u32);
    let left = CUBE_POS_X * comptime!(form.tile.wide as u32);
    let top = CUBE_POS_Y * comptime!(form.height() as u32);
    let image = CUBE_POS_Z / output.blocks;
    let first = (CUBE_POS_Z % output.blocks) * comptime!(form.outputs() as u32);
    let halo = Halo {
        image,
        top: top * comptime!(form.pace() as u32) - comptime!(form.taps(0).before as u32),
        left: left * comptime!(form.pace() as u32) - comptime!(form.taps(1).before as u32),
        height,
        width,
    };

    let mut sums = Array::<Vector<f32, O>>::new(comptime!(form.tile.rows * form.tile.vectors));
    #[unroll]
    for at in 0..comptime!(form.tile.rows * form.tile.vectors) {
        sums[at] = Vector::new(0.0f32);
    }
    let pixels = halo.pixels(comptime!(form.tile.depth / size), staging);
    let mut start = before;
    #[unroll]
    for index in 0..sources.len() {
        let source = sources.index(index);
        let channels = source.vectors * comptime!(size as u32);
        for channel in range_stepped(0u32, channels, comptime!(form.tile.depth as u32)) {
            if comptime!(form.phase.is_some()) {
                load::<W, O>(weights, &mut stage, channel, start + first, form);
            } else {
                load::<W, O>(weights, &mut stage, start + channel, first, form);
            }
            source.load::<f32>(&mut tile, &halo, &pixels, channel / comptime!(size as u32), staging);
            sync_cube();
            let from = (y * comptime!(form.pace() as u32)) as usize * comptime!(staging.width)
                + (x * comptime!(form.pace() as u32)) as usize;
            multiply::<N, O>(&tile, &stage, &mut sums, from, across as usize, form);
            sync_cube();
        }
        if comptime!(form.phase.is_none()) {
            start += channels;
        }
    }
    let unit = Unit { image, top: top + y, left: left + x, vector: first / comptime!(form.written as u32) + across };
    finish::<E, O>(&sums, output, &unit, form);
}

/// Adds the products of what is in shared memory to a unit's sums. `from` is the first pixel that the unit reads.
#[cube]
fn multiply<N: Size, O: Size>(
    tile: &[Vector<f32, N>],
    stage: &[Vector<f32, O>],
    sums: &mut Array<Vector<f32, O>>,
    from: usize,
    across: usize,
    #[comptime] form: Form,
) {
    let (rows, vectors, depth) = comptime!((form.tile.rows, form.tile.vectors, form.tile.depth));
    let (down, right, size) = comptime!((form.taps(0), form.taps(1), form.read));
    let (width, pitch) = comptime!((form.staging().width, form.staging().pitch() / size));
    let outputs = comptime!(form.tile.across * vectors);
    for vector in 0..comptime!(depth / size) {
        for column in 0..comptime!(right.count) {
            let mut line = Array::<Vector<f32, N>>::new(comptime!(form.line()));
            let at = (from + comptime!(right.start) + column * comptime!(right.ahead)) * pitch + vector;
            #[unroll]
            for row in 0..comptime!(form.line()) {
                line[row] = tile[at + comptime!(row * width * pitch)];
            }
            let begin = (column * depth + vector * size) * outputs + across;
            #[unroll]
            for tap in 0..comptime!(down.count) {
                #[unroll]
                for lane in 0..size {
                    #[unroll]
                    for block in 0..vectors {
                        let place = comptime!((tap * right.count * depth + lane) * outputs + block * form.tile.across);
                        let weight = stage[begin + place];
                        #[unroll]
                        for row in 0..rows {
                            let place = comptime!(row * form.pace() + down.start + tap * down.ahead);
                            let value = Vector::new(line[place].extract(lane));
                            let sum = comptime!(row * vectors + block);
                            sums[sum] = fma(value, weight, sums[sum]);
                        }
                    }
                }
            }
        }
    }
}
