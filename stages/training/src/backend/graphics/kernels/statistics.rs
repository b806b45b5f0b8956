//! The statistics of norms: partial statistics of each map, in one launch that reads it once, and the merged statistics of
//! everything that shares them.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::channels::Pieces;
use super::nhwc::{Nhwc, Values, addresses, dense, float32, stored, tensor};
use super::sets::{PiecesOfSets, Sets, UNITS};
use crate::layer::Norm;

/// The number of values seen, their mean and the sum of their squared deviations. A plain sum of squares would lose the variance
/// of a channel whose mean is far from zero.
#[derive(CubeType)]
struct Moments<N: Size> {
    count: f32,
    mean: Vector<f32, N>,
    squares: Vector<f32, N>,
}

#[cube]
fn moments<N: Size>(count: f32, mean: Vector<f32, N>, squares: Vector<f32, N>) -> Moments<N> {
    Moments::<N> { count, mean, squares }
}

/// The moments of two parts combined (Chan, Golub and LeVeque, 1979).
#[cube]
fn merge_two<N: Size>(left: &Moments<N>, right: &Moments<N>) -> Moments<N> {
    let count = left.count + right.count;
    let share = right.count / max(count, 1.0f32);
    let apart = right.mean - left.mean;
    Moments::<N> {
        count,
        mean: left.mean + apart * Vector::new(share),
        squares: left.squares + right.squares + apart * apart * Vector::new(left.count * share),
    }
}

/// The moments over a column of a cube of `width` columns and `height` rows, from those of its units. All units of the column get
/// them.
#[cube]
fn column_moments<N: Size>(own: &Moments<N>, #[comptime] width: usize, #[comptime] height: usize) -> Moments<N> {
    let mut counts = Shared::<[f32]>::new_slice(comptime!(width * height));
    let mut means = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let mut squares = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let me = UNIT_POS as usize;
    counts[me] = own.count;
    means[me] = own.mean;
    squares[me] = own.squares;
    sync_cube();
    let mut half = (height / 2).runtime();
    while half > 0 {
        if me < half * width {
            let other = me + half * width;
            let left = moments::<N>(counts[me], means[me], squares[me]);
            let right = moments::<N>(counts[other], means[other], squares[other]);
            let both = merge_two::<N>(&left, &right);
            counts[me] = both.count;
            means[me] = both.mean;
            squares[me] = both.squares;
        }
        sync_cube();
        half /= 2;
    }
    let column = me % width;
    moments::<N>(counts[column], means[column], squares[column])
}

/// Mean and sum of squared deviations of each channel over a piece of an image (Welford, 1962).
#[cube(launch, address_type = "dynamic")]
fn moments_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    means: &mut Tensor<Vector<f32, N>>,
    squares: &mut Tensor<Vector<f32, N>>,
    pieces: &Pieces,
    #[define(E)] _dtype: ElemType,
) {
    let share = pieces.share();
    let mut count = 0.0f32;
    let mut mean = Vector::<f32, N>::new(0.0f32);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if share.vector < pieces.vectors {
        let base = pieces.base(&share);
        let mut at = share.start;
        while at < share.end {
            let value = Vector::<f32, N>::cast_from(x[base + at * pieces.vectors]);
            count += 1.0f32;
            let apart = value - mean;
            mean += apart * Vector::new(1.0f32 / count);
            sum += apart * (value - mean);
            at += comptime!(pieces.height);
        }
    }
    let own = moments::<N>(count, mean, sum);
    let all = column_moments::<N>(&own, comptime!(pieces.width), comptime!(pieces.height));
    if pieces.writes(&share) {
        let to = pieces.place(&share);
        means[to] = all.mean;
        squares[to] = all.squares;
    }
}

/// From the pieces `[batch, pieces, channels]` to `[batch, channels]`. Each piece has `length` of an image's `pixels`; the last
/// one may have fewer.
#[cube(launch)]
fn statistics_kernel(
    means: &Tensor<f32>,
    squares: &Tensor<f32>,
    mean: &mut Tensor<f32>,
    variance: &mut Tensor<f32>,
    sets: &PiecesOfSets,
    pixels: usize,
    length: usize,
) {
    let me = UNIT_POS_X as usize;
    let mut count = 0.0f32;
    let mut centre = Vector::<f32, Const<1>>::new(0.0f32);
    let mut sum = Vector::<f32, Const<1>>::new(0.0f32);
    let mut index = me;
    while index < sets.elements() {
        let element = sets.element(index);
        let first = element.piece * length;
        let values = f32::cast_from(min(first + length, pixels) - first);
        let seen = moments::<Const<1>>(count, centre, sum);
        let piece = moments::<Const<1>>(values, Vector::new(means[element.at]), Vector::new(squares[element.at]));
        let both = merge_two::<Const<1>>(&seen, &piece);
        count = both.count;
        centre = both.mean;
        sum = both.squares;
        index += UNITS;
    }
    let own = moments::<Const<1>>(count, centre, sum);
    let all = column_moments::<Const<1>>(&own, 1usize, UNITS);
    let centre = all.mean.extract(0usize);
    let spread = all.squares.extract(0usize) / all.count;
    let mut index = me;
    while index < sets.planes() {
        let to = sets.plane(index);
        mean[to] = centre;
        variance[to] = spread;
        index += UNITS;
    }
}

/// Mean and sum of squared deviations of each channel over each piece of each image of a map, `[batch, pieces, channels]`.
pub(crate) struct Partial {
    means: CubeTensor,
    squares: CubeTensor,
    /// Batch, pieces and channels.
    dims: [usize; 3],
    /// Pixels per image.
    pixels: usize,
    /// Pixels per piece; the last one may have fewer.
    length: usize,
}

/// The partial statistics of a map `[batch, channels, height, width]`.
pub(in super::super) fn partial(map: Values<4>) -> Result<Partial> {
    let map = Nhwc::of(map)?;
    let vector_size = map.vector_size(&[]);
    let pieces = Pieces::of(&map, vector_size);
    let dims = [map.batch, pieces.pieces, map.channels];
    let (means, squares) = (float32(&map.tensor, dims), float32(&map.tensor, dims));
    let (count, dim) = pieces.launch(map.batch);
    moments_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        means.clone().into_tensor_arg(),
        squares.clone().into_tensor_arg(),
        pieces.arg(),
        stored(&map.tensor),
    );
    Ok(Partial { means, squares, dims, pixels: pieces.pixels, length: pieces.length })
}

/// The statistics of several maps side by side along channels. Their pieces may differ, so each map is first merged over its own
/// pieces.
pub(in super::super) fn join(mut partials: Vec<Partial>) -> Result<Partial> {
    let Some(last) = partials.pop() else { return Err(StageError::new("a norm without an input")) };
    if partials.is_empty() {
        return Ok(last);
    }
    let Partial { dims: [batch, ..], pixels, .. } = last;
    partials.push(last);
    let channels = partials.iter().map(|partial| partial.dims[2]).sum();
    let (mut means, mut squares) = (Vec::new(), Vec::new());
    for partial in &partials {
        let [mean, variance] = merged(Sets::planes(batch, partial.dims[2]), partial);
        means.push(mean);
        squares.push(variance * pixels as f64);
    }
    let (means, squares) = (dense(Values::cat(means, 1))?, dense(Values::cat(squares, 1))?);
    Ok(Partial { means, squares, dims: [batch, 1, channels], pixels, length: pixels })
}

/// Mean and biased variance `[batch, channels]` over all values that share them.
pub(in super::super) fn merge(norm: &Norm, partial: &Partial) -> [Values<2>; 2] {
    merged(Sets::of(norm, partial.dims[0]), partial)
}

fn merged(sets: Sets, partial: &Partial) -> [Values<2>; 2] {
    let &Partial { ref means, ref squares, dims, pixels, length } = partial;
    let [batch, _, channels] = dims;
    let (mean, variance) = (float32(means, [batch, channels]), float32(means, [batch, channels]));
    let (count, dim) = sets.launch();
    statistics_kernel::launch(
        &means.client,
        count,
        dim,
        means.clone().into_tensor_arg(),
        squares.clone().into_tensor_arg(),
        mean.clone().into_tensor_arg(),
        variance.clone().into_tensor_arg(),
        sets.arg(dims),
        pixels,
        length,
    );
    [tensor(mean), tensor(variance)]
}
