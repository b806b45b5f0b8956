//! Weights `[outputs, inputs, taps]` as matrix units read and leave them, with the taps first and the outputs last. Both ways go
//! through shared memory, so that both sides are read and written in whole lines.

use std::collections::BTreeMap;

use burn::tensor::DType;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::zspace::Shape;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::Result;

use super::super::super::costs::KEPT;
use super::super::channels::column_sum;
use super::super::nhwc::{Values, addresses, dense, stored};

/// Rows and columns of a cube's tile.
const SIDE: usize = 32;
/// Rows that a cube's units handle at once.
const ROWS: usize = 8;
/// Sums that a unit adds up one after the other; more are divided among units.
const FEW: usize = 8;

/// The shape of weights: `columns` is inputs times taps.
#[derive(CubeType, CubeLaunch)]
struct Sides {
    outputs: usize,
    columns: usize,
    taps: usize,
    /// Outputs per row of the other side.
    padded: usize,
    /// Inputs per tap of the other side.
    inputs: usize,
}

#[cube]
impl Sides {
    /// Where the other side has the weights of a column.
    fn row(&self, column: usize) -> usize {
        (column % self.taps * self.inputs + column / self.taps) * self.padded
    }
}

#[cube(launch, address_type = "dynamic")]
fn pack_kernel<E: Float>(weight: &Tensor<f32>, packed: &mut Tensor<E>, sides: &Sides, #[define(E)] _dtype: ElemType) {
    let mut tile = Shared::<[f32]>::new_slice(comptime!(SIDE * (SIDE + 1)));
    let (x, y) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let (column, output) = (CUBE_POS_X as usize * SIDE, CUBE_POS_Y as usize * SIDE);
    #[unroll]
    for turn in 0..comptime!(SIDE / ROWS) {
        let row = y + turn * ROWS;
        let exists = output + row < sides.outputs && column + x < sides.columns;
        let from = select(exists, (output + row) * sides.columns + column + x, 0usize);
        tile[row * comptime!(SIDE + 1) + x] = select(exists, weight[from], 0.0f32);
    }
    sync_cube();
    #[unroll]
    for turn in 0..comptime!(SIDE / ROWS) {
        let row = column + y + turn * ROWS;
        if row < sides.columns && output + x < sides.padded {
            packed[sides.row(row) + output + x] = E::cast_from(tile[x * comptime!(SIDE + 1) + y + turn * ROWS]);
        }
    }
}

/// Adds few sums `[splits, taps, padded inputs, padded outputs]` to the columns of `gradient` from `first` on, which has `all`
/// columns.
#[cube(launch, address_type = "dynamic")]
fn unpack_kernel(sums: &Tensor<f32>, gradient: &mut Tensor<f32>, sides: &Sides, splits: usize, first: usize, all: usize) {
    let mut tile = Shared::<[f32]>::new_slice(comptime!(SIDE * (SIDE + 1)));
    let (x, y) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let (column, output) = (CUBE_POS_X as usize * SIDE, CUBE_POS_Y as usize * SIDE);
    let length = sides.taps * sides.inputs * sides.padded;
    #[unroll]
    for turn in 0..comptime!(SIDE / ROWS) {
        let row = column + y + turn * ROWS;
        let exists = row < sides.columns && output + x < sides.outputs;
        let from = select(exists, sides.row(row) + output + x, 0usize);
        let mut sum = 0.0f32;
        for split in 0..splits {
            sum += sums[split * length + from];
        }
        tile[(y + turn * ROWS) * comptime!(SIDE + 1) + x] = sum;
    }
    sync_cube();
    #[unroll]
    for turn in 0..comptime!(SIDE / ROWS) {
        let row = y + turn * ROWS;
        if output + row < sides.outputs && column + x < sides.columns {
            gradient[(output + row) * all + first + column + x] += tile[x * comptime!(SIDE + 1) + row];
        }
    }
}

/// The same for many sums: a cube has one column, and its units divide the sums among themselves.
#[cube(launch, address_type = "dynamic")]
fn unpack_many_kernel(sums: &Tensor<f32>, gradient: &mut Tensor<f32>, sides: &Sides, splits: usize, first: usize, all: usize) {
    let (x, column) = (UNIT_POS_X as usize, CUBE_POS_X as usize);
    let output = CUBE_POS_Y as usize * SIDE + x;
    let length = sides.taps * sides.inputs * sides.padded;
    let from = sides.row(column) + select(output < sides.outputs, output, 0usize);
    let mut sum = 0.0f32;
    for split in range_stepped(UNIT_POS_Y as usize, splits, ROWS) {
        sum += sums[split * length + from];
    }
    let sum = column_sum::<Const<1>>(Vector::new(sum), SIDE, ROWS);
    if UNIT_POS_Y == 0 && output < sides.outputs {
        gradient[output * all + first + column] += sum.extract(0usize);
    }
}

fn launch(columns: usize, outputs: usize) -> (CubeCount, CubeDim) {
    let count = CubeCount::Static(columns.div_ceil(SIDE) as u32, outputs.div_ceil(SIDE) as u32, 1);
    (count, CubeDim::new_2d(SIDE as u32, ROWS as u32))
}

/// The weights of a convolution `[outputs, inputs, size, size]` in float32, and the slot of that trained tensor.
pub(in super::super::super) struct Weight {
    pub slot: usize,
    pub values: Values<4>,
}

/// The packed weights of a pass, by their slots, so that the backward pass finds those that the forward pass packed. Only small ones
/// are kept: `costs::KEPT`.
#[derive(Default)]
pub(in super::super::super) struct Packs {
    kept: BTreeMap<usize, Packed>,
}

struct Packed {
    multiple: usize,
    tensor: CubeTensor,
}

impl Packs {
    /// The packed weights, as [`pack`] makes them.
    pub(super) fn pack(&mut self, weight: Weight, dtype: DType, multiple: usize) -> Result<CubeTensor> {
        let Weight { slot, values } = weight;
        if let Some(kept) = self.kept.get(&slot).filter(|kept| kept.multiple == multiple && kept.tensor.dtype == dtype) {
            return Ok(kept.tensor.clone());
        }
        let weight = dense(values)?;
        let tensor = pack(&weight, dtype, multiple);
        if weight.meta.num_elements() <= KEPT {
            self.kept.insert(slot, Packed { multiple, tensor: tensor.clone() });
        }
        Ok(tensor)
    }
}

/// From weights `[outputs, inputs, size, size]` in float32 to `[taps, inputs, outputs]` in the type of the maps; the outputs are
/// padded with zeros to a multiple of `multiple`.
fn pack(weight: &CubeTensor, dtype: DType, multiple: usize) -> CubeTensor {
    let shape = weight.meta.shape();
    let (outputs, inputs, taps) = (shape[0], shape[1], shape[2] * shape[3]);
    let padded = outputs.next_multiple_of(multiple);
    let device = weight.device.clone();
    let shape = Shape::new([taps, inputs, padded]);
    let packed = empty_device_contiguous_dtype(weight.client.clone(), device, shape, dtype);
    let (count, dim) = launch(inputs * taps, padded);
    pack_kernel::launch(
        &weight.client,
        count,
        dim,
        addresses(&[weight, &packed]),
        weight.clone().into_tensor_arg(),
        packed.clone().into_tensor_arg(),
        SidesLaunch::new(outputs, inputs * taps, taps, padded, inputs),
        stored(&packed),
    );
    packed
}

/// Adds the sums `[splits, taps, padded inputs, padded outputs]` of `inputs` input channels to a gradient
/// `[outputs, all inputs, taps]`, from input channel `before` on.
pub(super) fn unpack(sums: CubeTensor, gradient: &CubeTensor, before: usize, [outputs, inputs, all]: [usize; 3]) {
    let shape = sums.meta.shape().clone();
    let (splits, taps, rows, padded) = (shape[0], shape[1], shape[2], shape[3]);
    let (count, dim) = launch(inputs * taps, outputs);
    let widest = addresses(&[&sums, gradient]);
    let (sums, to) = (sums.into_tensor_arg(), gradient.clone().into_tensor_arg());
    let sides = SidesLaunch::new(outputs, inputs * taps, taps, padded, rows);
    let (before, all) = (before * taps, all * taps);
    if splits > FEW {
        let count = CubeCount::Static((inputs * taps) as u32, outputs.div_ceil(SIDE) as u32, 1);
        unpack_many_kernel::launch(&gradient.client, count, dim, widest, sums, to, sides, splits, before, all);
    } else {
        unpack_kernel::launch(&gradient.client, count, dim, widest, sums, to, sides, splits, before, all);
    }
}
