//! The gradient of the norms, in three launches: each map is read twice.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::channels::{Pieces, column_sum, cube_sum, fold};
use super::nhwc::{Nhwc, Values, addresses, dense, float32, spread, stored, tensor};
use super::normed::{self, Normed, NormedMap};
use super::sets::{PiecesOfSets, Sets, UNITS};
use super::units::{MapUnits, map_units};
use crate::layer::Norm;

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
/// constant and a multiple of the normalised value. A set has `values` values.
#[cube(launch)]
fn shares_kernel(
    sums: &Tensor<f32>,
    scale: &Tensor<f32>,
    inverse: &Tensor<f32>,
    shares: &mut Tensor<f32>,
    sets: &PiecesOfSets,
    values: f32,
) {
    let me = UNIT_POS_X as usize;
    let all = sets.images * sets.channels;
    let mut sum = 0.0f32;
    let mut along = 0.0f32;
    let mut index = me;
    while index < sets.elements() {
        let element = sets.element(index);
        let gain = scale[element.channel];
        sum += gain * sums[element.at];
        along += gain * sums[all * sets.pieces + element.at];
        index += UNITS;
    }
    let sum = cube_sum(sum, UNITS) / values;
    let along = cube_sum(along, UNITS) / values;
    let mut index = me;
    while index < sets.planes() {
        let to = sets.plane(index);
        shares[to] = sum * inverse[to];
        shares[all + to] = along * inverse[to];
        index += UNITS;
    }
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

/// The gradients that a norm computes: of its inputs, in the type of the maps, and of scale and shift `[channels]`.
pub(in super::super) struct Gradients {
    pub inputs: Vec<Values<4>>,
    pub scale: Values<1>,
    pub shift: Values<1>,
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
/// sums `[2, batch, pieces, channels]`.
fn shares(
    norm: &Norm,
    sums: &CubeTensor,
    dims: [usize; 3],
    pixels: usize,
    scale: Values<1>,
    inverse: Values<2>,
) -> Result<CubeTensor> {
    let [batch, _, channels] = dims;
    let shares = float32(sums, [2, batch, channels]);
    let sets = Sets::of(norm, batch);
    let (count, dim) = sets.launch();
    shares_kernel::launch(
        &sums.client,
        count,
        dim,
        sums.clone().into_tensor_arg(),
        dense(scale)?.into_tensor_arg(),
        dense(inverse)?.into_tensor_arg(),
        shares.clone().into_tensor_arg(),
        sets.arg(dims),
        sets.values(batch, pixels) as f32,
    );
    Ok(shares)
}

/// From the gradients after a norm and its activation to the gradients of its inputs, and of scale and shift. `scale` and
/// `inverse` (`[batch, channels]`) cover all inputs together.
pub(in super::super) fn norm_input(
    norm: &Norm,
    inputs: Vec<Normed>,
    upstream: Vec<Values<4>>,
    (scale, inverse): (Values<1>, Values<2>),
) -> Result<Gradients> {
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
    let shares = shares(norm, &all, [batch, pieces, channels], pixels, scale, inverse)?;
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
    let sums = tensor::<2>(fold(all, [2, batch * pieces, channels]));
    let sum = |which| sums.clone().narrow(0, which, 1).reshape([channels]);
    Ok(Gradients { inputs: made, scale: sum(1), shift: sum(0) })
}
