//! From a unit's sums to its part of the output map, and the partial statistics of a cube's part.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::super::moments::{Columns, moments};
use super::super::output::Output;
use super::form::Form;

/// What a unit computes: its first pixel, counted in pixels that are computed, and its first channel vector.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Unit {
    pub image: u32,
    pub top: u32,
    pub left: u32,
    pub vector: u32,
}

/// Applies bias and activation, and writes a value to place `to` of the map. Returns it as it is stored.
#[cube]
fn write<E: Float, O: Size>(output: &mut Output<E, O>, to: usize, vector: u32, sum: Vector<f32, O>) -> Vector<f32, O> {
    let mut value = sum;
    #[comptime]
    if let ComptimeOption::Some(bias) = &output.bias {
        value += bias[vector as usize];
    }
    #[comptime]
    if let ComptimeOption::Some(slope) = &output.slope {
        value = select_many(value.less_equal(&Vector::new(0.0f32)), value * Vector::new(*slope), value);
    }
    let stored = Vector::<E, O>::cast_from(value);
    output.map[to] = stored;
    Vector::cast_from(stored)
}

/// Writes a unit's part of the output, and its cube's partial statistics.
#[cube]
pub(super) fn finish<E: Float, O: Size>(
    sums: &Array<Vector<f32, O>>,
    output: &mut Output<E, O>,
    unit: &Unit,
    #[comptime] form: Form,
) {
    let (rows, vectors, factor) = comptime!((form.tile.rows, form.tile.vectors, form.factor() as u32));
    let [down, right] = comptime!(form.phase.unwrap_or_default());
    let mut columns = Columns::<O>::new(comptime!(form.tile.across), comptime!(form.tile.wide * form.tile.down), 1usize);
    let x = unit.left * factor + comptime!(right as u32);
    #[unroll]
    for block in 0..vectors {
        let vector = unit.vector + comptime!((block * form.tile.across) as u32);
        let exists = vector < output.vectors && x < output.width;
        let mut count = 0.0f32;
        let mut mean = Vector::<f32, O>::new(0.0f32);
        let mut squares = Vector::<f32, O>::new(0.0f32);
        #[unroll]
        for row in 0..rows {
            let y = (unit.top + row as u32) * factor + comptime!(down as u32);
            if exists && y < output.height {
                let pixel = (unit.image * output.height + y) as usize * output.width as usize + x as usize;
                let to = pixel * output.vectors as usize + vector as usize;
                let stored = write::<E, O>(output, to, vector, sums[comptime!(row * vectors + block)]);
                // The statistics are those of the values as they are stored (Welford, 1962).
                #[comptime]
                if output.sums.is_some() {
                    count += 1.0f32;
                    let apart = stored - mean;
                    mean += apart * Vector::new(1.0f32 / count);
                    squares += apart * (stored - mean);
                }
            }
        }
        #[comptime]
        if let ComptimeOption::Some(sums) = &mut output.sums {
            let all = columns.merge(&moments::<O>(count, mean, squares));
            let piece = CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X;
            let pieces = CUBE_COUNT_X * CUBE_COUNT_Y;
            if UNIT_POS < comptime!(form.tile.across as u32) && vector < output.vectors {
                let to = (unit.image * pieces + piece) as usize * output.vectors as usize + vector as usize;
                sums.means[to] = all.mean;
                sums.squares[to] = all.squares;
                if vector == 0 && unit.image == 0 {
                    sums.counts[piece as usize] = all.count;
                }
            }
        }
    }
}
