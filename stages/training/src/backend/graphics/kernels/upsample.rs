//! What is around the matrix product of an upsampling: windows of 2 x 2 pixels as four blocks of channels and back, and the bias.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::channels::{Pieces, add_columns, fold, share};
use super::lines::{Lines, Values, addresses, dense, float32, spread, stored, tensor};

/// Where a unit of the larger map finds its line among the blocks, and which line of a pixel it is.
#[cube]
fn block(unit: usize, lines: &FastDivmod<usize>, width: &FastDivmod<usize>, own: usize, half: usize) -> (usize, usize) {
    let (pixel, line) = lines.div_mod(unit);
    // Rows of all images, one after the other: each has an even number of them.
    let (y, x) = width.div_mod(pixel);
    let window = (y / 2) * half + x / 2;
    ((window * 4 + (y % 2) * 2 + x % 2) * own + line, line)
}

#[cube(launch, address_type = "dynamic")]
fn upsample_kernel<E: Float, N: Size>(
    blocks: &Tensor<Vector<E, N>>,
    bias: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    width: FastDivmod<usize>,
    own: usize,
    half: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (from, line) = block(ABSOLUTE_POS, &lines, &width, own, half);
    output[ABSOLUTE_POS] = Vector::cast_from(Vector::<f32, N>::cast_from(blocks[from]) + bias[line]);
}

#[cube(launch, address_type = "dynamic")]
fn windows_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    blocks: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    width: FastDivmod<usize>,
    own: usize,
    half: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (to, _) = block(ABSOLUTE_POS, &lines, &width, own, half);
    blocks[to] = x[ABSOLUTE_POS];
}

/// The sums of a map over a piece of an image.
#[cube(launch, address_type = "dynamic")]
fn sum_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    lines: usize,
    pixels: usize,
    length: usize,
    pieces: usize,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[define(E)] _dtype: ElemType,
) {
    let (line, image, start, end) = share(pixels, length, width);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if line < lines {
        let base = image * pixels * lines + line;
        let mut at = start;
        while at < end {
            sum += Vector::cast_from(x[base + at * lines]);
            at += height;
        }
    }
    let mut all_sums = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let me = UNIT_POS as usize;
    all_sums[me] = sum;
    add_columns::<N>(&mut all_sums, me, width, height);
    if UNIT_POS_Y == 0 && line < lines {
        sums[(image * pieces + CUBE_POS_Y as usize) * lines + line] = all_sums[me];
    }
}

/// `blocks`, a row for each pixel `[batch * height * width, 4 * outputs]` with the four pixels of its window one after the other, as a map
/// `[batch, outputs, 2 height, 2 width]`, with the bias added.
pub(in super::super) fn upsample(
    blocks: Values<2>,
    bias: Values<1>,
    [batch, outputs, height, width]: [usize; 4],
) -> Result<Values<4>> {
    let (blocks, bias) = (dense(blocks)?, dense(bias)?);
    let output = Lines::empty(&blocks, [batch, 2 * height, 2 * width, outputs], blocks.dtype);
    let vector = output.vector(&[]);
    let own = outputs / vector;
    let units = batch * output.pixels() * own;
    let (count, dim) = spread(&blocks, units);
    let client = blocks.client.clone();
    let (addresses, dtype) = (addresses(&[&output.tensor]), stored(&blocks));
    upsample_kernel::launch(
        &client,
        count,
        dim,
        addresses,
        vector,
        blocks.into_tensor_arg(),
        bias.into_tensor_arg(),
        output.tensor.clone().into_tensor_arg(),
        units,
        own,
        output.width,
        own,
        width,
        dtype,
    );
    Ok(output.map())
}

/// The other way: a map `[batch, outputs, 2 height, 2 width]` as `[batch * height * width, 4 * outputs]`.
pub(in super::super) fn windows(map: Values<4>) -> Result<Values<2>> {
    let map = Lines::of(map)?;
    let vector = map.vector(&[]);
    let own = map.channels / vector;
    let (half, units) = (map.width / 2, map.batch * map.pixels() * own);
    let blocks = Lines::empty(&map.tensor, [1, 1, map.batch * map.pixels() / 4, 4 * map.channels], map.tensor.dtype);
    let (count, dim) = spread(&map.tensor, units);
    let client = map.tensor.client.clone();
    let (addresses, dtype) = (addresses(&[&map.tensor]), stored(&map.tensor));
    windows_kernel::launch(
        &client,
        count,
        dim,
        addresses,
        vector,
        map.tensor.into_tensor_arg(),
        blocks.tensor.clone().into_tensor_arg(),
        units,
        own,
        map.width,
        own,
        half,
        dtype,
    );
    Ok(tensor::<4>(blocks.tensor).reshape([blocks.width, blocks.channels]))
}

/// The gradient of the bias: the sums `[outputs]` of a map `[batch, outputs, height, width]` over all its pixels.
pub(in super::super) fn upsample_bias(upstream: Values<4>) -> Result<Values<1>> {
    let map = Lines::of(upstream)?;
    let vector = map.vector(&[]);
    let pieces = Pieces::of(&map, vector);
    let sums = float32(&map.tensor, [map.batch * pieces.pieces, map.channels]);
    let (count, dim) = pieces.launch(map.batch);
    let client = map.tensor.client.clone();
    sum_kernel::launch(
        &client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector,
        map.tensor.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pieces.lines,
        pieces.pixels,
        pieces.length,
        pieces.pieces,
        pieces.width,
        pieces.height,
        stored(&map.tensor),
    );
    Ok(tensor::<2>(fold(sums, [1, map.batch * pieces.pieces, map.channels])).reshape([map.channels]))
}
