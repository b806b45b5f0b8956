//! The statistics of norms: partial statistics of each map, in one launch that reads it once, and the merged statistics of
//! everything that shares them.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::zspace::Shape;
use burn_cubecl::ops::numeric::full_client;
use pipeline_contract::{Result, StageError};

use super::channels::Pieces;
use super::moments::{column_moments, merge_two, moments};
use super::nhwc::{Nhwc, Values, addresses, dense, float32, stored, tensor};
use super::partial::Partial;
use super::sets::{PiecesOfSets, Sets, UNITS};
use crate::layer::Norm;

/// Mean and sum of squared deviations of each channel over a piece of an image (Welford, 1962).
#[cube(launch, address_type = "dynamic")]
fn moments_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    means: &mut Tensor<Vector<f32, N>>,
    squares: &mut Tensor<Vector<f32, N>>,
    counts: &mut Tensor<f32>,
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
    let all = column_moments::<N>(&own, comptime!(pieces.width), comptime!(pieces.height), 1usize);
    if pieces.writes(&share) {
        let to = pieces.place(&share);
        means[to] = all.mean;
        squares[to] = all.squares;
        if share.image == 0 && share.vector == 0 {
            counts[CUBE_POS_Y as usize] = all.count;
        }
    }
}

/// From the pieces `[batch, pieces, channels]` to `[batch, channels]`. A piece has `counts[piece]` pixels.
#[cube(launch)]
fn statistics_kernel(
    means: &Tensor<f32>,
    squares: &Tensor<f32>,
    counts: &Tensor<f32>,
    mean: &mut Tensor<f32>,
    variance: &mut Tensor<f32>,
    inverse: &mut Tensor<f32>,
    sets: &PiecesOfSets,
    eps: f32,
) {
    let me = UNIT_POS_X as usize;
    let mut count = 0.0f32;
    let mut centre = Vector::<f32, Const<1>>::new(0.0f32);
    let mut sum = Vector::<f32, Const<1>>::new(0.0f32);
    let mut index = me;
    while index < sets.elements() {
        let element = sets.element(index);
        let values = counts[element.piece];
        let seen = moments::<Const<1>>(count, centre, sum);
        let piece = moments::<Const<1>>(values, Vector::new(means[element.at]), Vector::new(squares[element.at]));
        let both = merge_two::<Const<1>>(&seen, &piece);
        count = both.count;
        centre = both.mean;
        sum = both.squares;
        index += UNITS;
    }
    let own = moments::<Const<1>>(count, centre, sum);
    let all = column_moments::<Const<1>>(&own, 1usize, UNITS, 1usize);
    let centre = all.mean.extract(0usize);
    let spread = all.squares.extract(0usize) / all.count;
    let mut index = me;
    while index < sets.planes() {
        let to = sets.plane(index);
        mean[to] = centre;
        variance[to] = spread;
        inverse[to] = 1.0f32 / f32::sqrt(spread + eps);
        index += UNITS;
    }
}

/// The partial statistics of a map `[batch, channels, height, width]`.
pub(in super::super) fn partial(map: Values<4>) -> Result<Partial> {
    let map = Nhwc::of(map)?;
    let vector_size = map.vector_size(&[]);
    let pieces = Pieces::of(&map, vector_size);
    let made = Partial::empty(&map.tensor, [map.batch, pieces.pieces, map.channels], pieces.pixels);
    let [means, squares, counts] = made.args();
    let (count, dim) = pieces.launch(map.batch);
    moments_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        means,
        squares,
        counts,
        pieces.arg(),
        stored(&map.tensor),
    );
    Ok(made)
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
    for partial in partials {
        let Merged { mean, variance, .. } = merged(Sets::planes(batch, partial.dims[2]), partial, 0.0);
        means.push(mean);
        squares.push(variance * pixels as f64);
    }
    let (means, squares) = (dense(Values::cat(means, 1))?, dense(Values::cat(squares, 1))?);
    let counts = full_client(means.client.clone(), Shape::new([1]), means.device.clone(), pixels as f32);
    Ok(Partial { means, squares, counts, dims: [batch, 1, channels], pixels })
}

/// The statistics of a norm, `[batch, channels]` each.
pub(crate) struct Merged {
    pub mean: Values<2>,
    /// Biased.
    pub variance: Values<2>,
    /// `1 / sqrt(variance + eps)`.
    pub inverse: Values<2>,
}

/// The statistics over all values that share them.
pub(in super::super) fn merge(norm: &Norm, partial: Partial) -> Merged {
    merged(Sets::of(norm, partial.dims[0]), partial, norm.eps)
}

fn merged(sets: Sets, partial: Partial, eps: f64) -> Merged {
    let partial = partial.fewer();
    let [batch, _, channels] = partial.dims;
    let like = &partial.means;
    let [mean, variance, inverse] = std::array::from_fn(|_| float32(like, [batch, channels]));
    let (count, dim) = sets.launch();
    let [means, squares, counts] = partial.args();
    statistics_kernel::launch(
        &like.client,
        count,
        dim,
        means,
        squares,
        counts,
        mean.clone().into_tensor_arg(),
        variance.clone().into_tensor_arg(),
        inverse.clone().into_tensor_arg(),
        sets.arg(partial.dims),
        eps as f32,
    );
    Merged { mean: tensor(mean), variance: tensor(variance), inverse: tensor(inverse) }
}
