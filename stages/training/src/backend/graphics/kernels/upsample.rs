//! What surrounds the matrix product of an upsampling: windows of 2 x 2 pixels as four blocks of channels and back, and the bias.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::channels::{Pieces, column_sum, fold};
use super::nhwc::{Nhwc, Values, addresses, dense, float32, spread, stored, tensor};

/// One unit per channel vector of each pixel of the larger map.
#[derive(CubeType, CubeLaunch)]
struct Blocks {
    units: usize,
    vectors: FastDivmod<usize>,
    /// Width of the larger map.
    width: FastDivmod<usize>,
    /// Channel vectors per pixel of the larger map.
    own: usize,
    /// Width of the smaller map.
    half: usize,
}

/// A unit's vector: its index among the blocks, and its index within the pixel.
#[derive(CubeType)]
struct Block {
    at: usize,
    vector: usize,
}

#[cube]
impl Blocks {
    fn block(&self, unit: usize) -> Block {
        let (pixel, vector) = self.vectors.div_mod(unit);
        // Rows of all images, one after the other: each image has an even number of them.
        let (y, x) = self.width.div_mod(pixel);
        let window = (y / 2) * self.half + x / 2;
        Block { at: (window * 4 + (y % 2) * 2 + x % 2) * self.own + vector, vector }
    }
}

#[cube(launch, address_type = "dynamic")]
fn upsample_kernel<E: Float, N: Size>(
    blocks: &Tensor<Vector<E, N>>,
    bias: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<E, N>>,
    places: &Blocks,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= places.units {
        terminate!();
    }
    let from = places.block(ABSOLUTE_POS);
    output[ABSOLUTE_POS] = Vector::cast_from(Vector::<f32, N>::cast_from(blocks[from.at]) + bias[from.vector]);
}

#[cube(launch, address_type = "dynamic")]
fn windows_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    blocks: &mut Tensor<Vector<E, N>>,
    places: &Blocks,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= places.units {
        terminate!();
    }
    blocks[places.block(ABSOLUTE_POS).at] = x[ABSOLUTE_POS];
}

/// The sums of a map over a piece of an image.
#[cube(launch, address_type = "dynamic")]
fn sum_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    pieces: &Pieces,
    #[define(E)] _dtype: ElemType,
) {
    let share = pieces.share();
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if share.vector < pieces.vectors {
        let base = pieces.base(&share);
        let mut at = share.start;
        while at < share.end {
            sum += Vector::cast_from(x[base + at * pieces.vectors]);
            at += comptime!(pieces.height);
        }
    }
    let sum = column_sum::<N>(sum, comptime!(pieces.width), comptime!(pieces.height));
    if pieces.writes(&share) {
        sums[pieces.place(&share)] = sum;
    }
}

/// The blocks of a (larger) map.
fn blocks(map: &Nhwc, vector_size: usize) -> (usize, BlocksLaunch) {
    let own = map.channels / vector_size;
    let units = map.batch * map.pixels() * own;
    (units, BlocksLaunch { units, vectors: own, width: map.width, own, half: map.width / 2 })
}

/// `blocks`, with one row `[batch * height * width, 4 * outputs]` per pixel that holds the four pixels of its window one after
/// the other, as a map `[batch, outputs, 2 height, 2 width]` with the bias added.
pub(in super::super) fn upsample(
    from: Values<2>,
    bias: Values<1>,
    [batch, outputs, height, width]: [usize; 4],
) -> Result<Values<4>> {
    let from = dense(from)?;
    let output = Nhwc::empty(&from, [batch, 2 * height, 2 * width, outputs], from.dtype);
    let vector_size = output.vector_size(&[]);
    let (units, places) = blocks(&output, vector_size);
    let (count, dim) = spread(&from, units);
    upsample_kernel::launch(
        &from.client,
        count,
        dim,
        addresses(&[&output.tensor]),
        vector_size,
        from.clone().into_tensor_arg(),
        dense(bias)?.into_tensor_arg(),
        output.tensor.clone().into_tensor_arg(),
        places,
        stored(&from),
    );
    Ok(output.map())
}

/// The inverse: a map `[batch, outputs, 2 height, 2 width]` as `[batch * height * width, 4 * outputs]`.
pub(in super::super) fn windows(map: Values<4>) -> Result<Values<2>> {
    let map = Nhwc::of(map)?;
    let vector_size = map.vector_size(&[]);
    let made = Nhwc::empty(&map.tensor, [1, 1, map.batch * map.pixels() / 4, 4 * map.channels], map.tensor.dtype);
    let (units, places) = blocks(&map, vector_size);
    let (count, dim) = spread(&map.tensor, units);
    windows_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        made.tensor.clone().into_tensor_arg(),
        places,
        stored(&map.tensor),
    );
    Ok(tensor::<4>(made.tensor).reshape([made.width, made.channels]))
}

/// The gradient of the bias: the sums `[outputs]` of a map `[batch, outputs, height, width]` over all its pixels.
pub(in super::super) fn upsample_bias(upstream: Values<4>) -> Result<Values<1>> {
    let map = Nhwc::of(upstream)?;
    let vector_size = map.vector_size(&[]);
    let pieces = Pieces::of(&map, vector_size);
    let sums = float32(&map.tensor, [map.batch * pieces.pieces, map.channels]);
    let (count, dim) = pieces.launch(map.batch);
    sum_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pieces.arg(),
        stored(&map.tensor),
    );
    Ok(tensor::<2>(fold(sums, [1, map.batch * pieces.pieces, map.channels])).reshape([map.channels]))
}
