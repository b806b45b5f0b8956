//! The gradient of the norms, in three launches: each map is read twice.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::channels::{Pieces, column_sum, cube_sum, fold};
use super::nhwc::{Nhwc, Values, addresses, dense, float32, spread, stored, tensor};
use super::normed::{self, Normed, NormedMap};
use super::sets::UNITS;
use super::units::{MapUnits, map_units};
use crate::layer::{Norm, NormKind};

/// With g the gradient before the activation and n the normalised value: the sums of g and of g * n over a piece of an image.
#[cube(launch, address_type = "dynamic")]
fn sums_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    upstream: &Tensor<Vector<E, N>>,
    norm: &normed::Norm<N>,
    sums: &mut Tensor<Vector<f32, N>>,
    pieces: &Pieces,
    #[define(E)] _dtype: ElemType,
) {
    let share = pieces.share();
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut along = Vector::<f32, N>::new(0.0f32);
    if share.vector < pieces.vectors {
        let norm = norm.of(share.image, share.vector, pieces.vectors);
        let base = pieces.base(&share);
        let mut at = share.start;
        while at < share.end {
            let place = base + at * pieces.vectors;
            let n = norm.normalized(Vector::cast_from(x[place]));
            let g = norm.before_activation(n, Vector::cast_from(upstream[place]));
            sum += g;
            along += g * n;
            at += comptime!(pieces.height);
        }
    }
    let sum = column_sum::<N>(sum, comptime!(pieces.width), comptime!(pieces.height));
    let along = column_sum::<N>(along, comptime!(pieces.width), comptime!(pieces.height));
    if pieces.writes(&share) {
        let to = pieces.place(&share);
        // The launch has one layer of cubes per image.
        let all = CUBE_COUNT_Z as usize * pieces.pieces * pieces.vectors;
        sums[to] = sum;
        sums[all + to] = along;
    }
}

/// From the pieces' sums `[2, batch, pieces, channels]` to what is subtracted from each gradient, `[2, batch, channels]`: a
/// constant and a multiple of the normalised value. A set has `values` values. Also adds the gradients of scale and shift to their
/// sums. One cube per set of an image's channels, `width` of them at a time; it goes through the images in order.
#[cube(launch)]
fn shares_kernel(
    sums: &Tensor<f32>,
    scale: &Tensor<f32>,
    inverse: &Tensor<f32>,
    shares: &mut Tensor<f32>,
    scale_sum: &mut Tensor<f32>,
    shift_sum: &mut Tensor<f32>,
    sets: &ImageSets,
    values: f32,
    #[comptime] width: usize,
) {
    let height = comptime!(UNITS / width);
    let me = UNIT_POS_X as usize;
    let (column, row) = (me % width, me / width);
    let first = CUBE_POS_X as usize * sets.members;
    let all = sets.images * sets.channels;
    // A set that spans all images goes through their pieces at once.
    let turns = if comptime!(sets.batch) { 1usize.runtime() } else { sets.images };
    let pieces = if comptime!(sets.batch) { sets.images * sets.pieces } else { sets.pieces };
    for image in 0..turns {
        let mut total = 0.0f32;
        let mut total_along = 0.0f32;
        let mut start = 0usize.runtime();
        while start < sets.members {
            let member = start + column;
            let channel = first + member;
            let exists = member < sets.members;
            let mut sum = Vector::<f32, Const<1>>::new(0.0f32);
            let mut along = Vector::<f32, Const<1>>::new(0.0f32);
            if exists {
                let mut piece = row;
                while piece < pieces {
                    let at = (image * pieces + piece) * sets.channels + channel;
                    sum += Vector::new(sums[at]);
                    along += Vector::new(sums[all * sets.pieces + at]);
                    piece += height;
                }
            }
            let sum = column_sum::<Const<1>>(sum, width, height).extract(0usize);
            let along = column_sum::<Const<1>>(along, width, height).extract(0usize);
            if exists && row == 0 {
                let gain = scale[channel];
                total += gain * sum;
                total_along += gain * along;
                shift_sum[channel] += sum;
                scale_sum[channel] += along;
            }
            start += width;
        }
        let sum = cube_sum(total, UNITS) / values;
        let along = cube_sum(total_along, UNITS) / values;
        let planes = if comptime!(sets.batch) { sets.images } else { sets.members };
        let mut index = me;
        while index < planes {
            let to = if comptime!(sets.batch) { index * sets.channels + first } else { image * sets.channels + first + index };
            shares[to] = sum * inverse[to];
            shares[all + to] = along * inverse[to];
            index += UNITS;
        }
    }
}

/// The sets of an image's channels that share statistics, in a kernel with one cube per set.
#[derive(CubeType, CubeLaunch)]
struct ImageSets {
    images: usize,
    /// Pieces per image.
    pieces: usize,
    channels: usize,
    /// Channels per set.
    members: usize,
    /// Whether a set spans all images.
    #[cube(comptime)]
    batch: bool,
}

/// The gradient before norm and activation. A unit reads an element before it writes it, so `output` may be `upstream`.
#[cube(launch, address_type = "dynamic")]
fn input_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    upstream: &Tensor<Vector<E, N>>,
    norm: &normed::Norm<N>,
    shares: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<E, N>>,
    units: &MapUnits,
    images: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units.count {
        terminate!();
    }
    let place = units.place(ABSOLUTE_POS);
    let at = place.image * units.own + place.vector;
    let norm = norm.of(place.image, place.vector, units.own);
    let n = norm.normalized(Vector::cast_from(x[ABSOLUTE_POS]));
    let g = norm.before_activation(n, Vector::cast_from(upstream[ABSOLUTE_POS]));
    let taken = n * shares[images * units.own + at] + shares[at];
    output[ABSOLUTE_POS] = Vector::cast_from(g * norm.scale * norm.inverse - taken);
}

/// What a norm's gradient reads of its parameters, and the sums that it adds to: scale `[channels]`, inverse deviation
/// `[batch, channels]`, and the sums of the gradients of scale and shift.
pub(in super::super) struct Parameters {
    pub scale: Values<1>,
    pub inverse: Values<2>,
    pub scale_sum: Values<1>,
    pub shift_sum: Values<1>,
}

/// For each piece, the sums of a map's gradient and of the gradient times the normalised value:
/// `[2, batch * pieces, channels]`.
fn sums(normed: &NormedMap, upstream: &Nhwc) -> (CubeTensor, usize) {
    let map = &normed.map;
    let vector_size = map.vector_size(&[]);
    let pieces = Pieces::of(map, vector_size);
    let sums = float32(&map.tensor, [2, map.batch * pieces.pieces, map.channels]);
    let (count, dim) = pieces.launch(map.batch);
    sums_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        upstream.tensor.clone().into_tensor_arg(),
        normed.norm.arg(),
        sums.clone().into_tensor_arg(),
        pieces.arg(),
        stored(&map.tensor),
    );
    (sums, pieces.pieces)
}

/// Subtracts the shares `[2, batch, channels]` from one input's gradient: in place where nothing else shares the upstream.
fn apply(NormedMap { map, norm }: NormedMap, upstream: Nhwc, shares: CubeTensor) -> Nhwc {
    let vector_size = map.vector_size(&[]);
    let (units, places) = map_units(&map, vector_size);
    let (count, dim) = spread(&map.tensor, units);
    let in_place = upstream.tensor.can_mut();
    let output = if in_place { upstream.clone() } else { Nhwc::empty(&map.tensor, map.dims(), map.tensor.dtype) };
    // The upstream is the launch's second tensor.
    let to = if in_place { output.tensor.as_tensor_alias(1) } else { output.tensor.clone().into_tensor_arg() };
    input_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        upstream.tensor.into_tensor_arg(),
        norm.arg(),
        shares.into_tensor_arg(),
        to,
        places,
        map.batch,
        stored(&map.tensor),
    );
    output
}

/// What is subtracted from the gradients of a norm's inputs, `[2, batch, channels]` for all inputs together, computed from the
/// sums `[2, batch, pieces, channels]`. Adds to the sums of the gradients of scale and shift.
fn shares(norm: &Norm, sums: &CubeTensor, dims: [usize; 3], pixels: usize, parameters: Parameters) -> Result<CubeTensor> {
    let [batch, pieces, channels] = dims;
    let shares = float32(sums, [2, batch, channels]);
    let (members, across) = (norm.members(), norm.kind == NormKind::Batch);
    shares_kernel::launch(
        &sums.client,
        CubeCount::Static((channels / members) as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        sums.clone().into_tensor_arg(),
        dense(parameters.scale)?.into_tensor_arg(),
        dense(parameters.inverse)?.into_tensor_arg(),
        shares.clone().into_tensor_arg(),
        dense(parameters.scale_sum)?.into_tensor_arg(),
        dense(parameters.shift_sum)?.into_tensor_arg(),
        ImageSetsLaunch::new(batch, pieces, channels, members, across),
        norm.sharers(batch, pixels) as f32,
        members.next_power_of_two().min(UNITS),
    );
    Ok(shares)
}

/// From the gradients after a norm and its activation to the gradients of its inputs, in the type of the maps. Those of scale and
/// shift are added to their sums. The parameters cover all inputs together.
pub(in super::super) fn norm_input(
    norm: &Norm,
    inputs: Vec<Normed>,
    upstream: Vec<Values<4>>,
    parameters: Parameters,
) -> Result<Vec<Values<4>>> {
    let inputs = inputs.into_iter().map(NormedMap::of).collect::<Result<Vec<_>>>()?;
    let upstream = upstream.into_iter().map(Nhwc::of).collect::<Result<Vec<_>>>()?;
    let Some(first) = inputs.first() else { return Err(StageError::new("a norm without an input")) };
    let (batch, pixels, channels) = (first.map.batch, first.map.pixels(), norm.channels);
    let (all, pieces) = match (inputs.as_slice(), upstream.as_slice()) {
        ([input], [upstream]) => sums(input, upstream),
        // The number of pieces differs from map to map, so each map is first summed over its own pieces.
        _ => {
            let planes = inputs.iter().zip(&upstream).map(|(input, upstream)| {
                let (sums, pieces) = sums(input, upstream);
                tensor::<2>(fold(sums, [2 * batch, pieces, input.map.channels]))
            });
            (dense(Values::<2>::cat(planes.collect(), 1))?, 1)
        }
    };
    let shares = shares(norm, &all, [batch, pieces, channels], pixels, parameters)?;
    let (mut made, mut start, single) = (Vec::new(), 0, inputs.len() == 1);
    for (input, upstream) in inputs.into_iter().zip(upstream) {
        let own = input.map.channels;
        let shares = match single {
            true => shares.clone(),
            false => dense(tensor::<3>(shares.clone()).narrow(2, start, own))?,
        };
        start += own;
        made.push(apply(input, upstream, shares).map());
    }
    Ok(made)
}
