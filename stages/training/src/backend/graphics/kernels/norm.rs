//! The gradient of the norms, by three launches: each map is read twice.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::activation::normal;
use super::channels::{Pieces, add_columns, fold, share};
use super::lines::{Lines, Values, addresses, dense, float32, spread, stored, tensor};
use super::normed::{Normed, Parts};
use super::statistics::{Sets, UNITS};
use crate::layer::Norm;

/// The gradient before an activation of `y`.
#[cube]
fn gated<N: Size>(y: Vector<f32, N>, upstream: Vector<f32, N>, slope: f32) -> Vector<f32, N> {
    select_many(y.less_equal(&Vector::new(0.0f32)), upstream * Vector::new(slope), upstream)
}

/// With g the gradient before the activation and n the normed value: the sums of g and of g n over a piece of an image.
#[cube(launch, address_type = "dynamic")]
fn sums_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    upstream: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    sums: &mut Tensor<Vector<f32, N>>,
    lines: usize,
    pixels: usize,
    length: usize,
    images: usize,
    pieces: usize,
    slope: f32,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[define(E)] _dtype: ElemType,
) {
    let (line, image, start, end) = share(pixels, length, width);

    let zero = Vector::<f32, N>::new(0.0f32);
    let mut sum = zero;
    let mut along = zero;
    if line < lines {
        let own = image * lines + line;
        let (centre, per, gain, offset) = (mean[own], inverse[own], scale[line], shift[line]);
        let base = image * pixels * lines + line;
        let mut at = start;
        while at < end {
            let n = normal::<N>(Vector::cast_from(x[base + at * lines]), centre, per);
            let y = n * gain + offset;
            let g = gated::<N>(y, Vector::cast_from(upstream[base + at * lines]), slope);
            sum += g;
            along += g * n;
            at += height;
        }
    }

    let mut all_sums = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let mut all_along = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let me = UNIT_POS as usize;
    all_sums[me] = sum;
    all_along[me] = along;
    add_columns::<N>(&mut all_sums, me, width, height);
    add_columns::<N>(&mut all_along, me, width, height);
    if UNIT_POS_Y == 0 && line < lines {
        let to = (image * pieces + CUBE_POS_Y as usize) * lines + line;
        sums[to] = all_sums[me];
        sums[images * pieces * lines + to] = all_along[me];
    }
}

/// From the pieces' sums `[2, batch, pieces, channels]` to what is taken off each gradient `[2, batch, channels]`: a constant and a
/// multiple of the normed value. A cube for each set.
#[cube(launch)]
fn shares_kernel(
    sums: &Tensor<f32>,
    scale: &Tensor<f32>,
    inverse: &Tensor<f32>,
    shares: &mut Tensor<f32>,
    images: usize,
    pieces: usize,
    channels: usize,
    members: usize,
    values: f32,
    #[comptime] batch: bool,
    #[comptime] units: usize,
) {
    let set = CUBE_POS_X as usize;
    let me = UNIT_POS_X as usize;
    let groups = channels / members;
    let mut base = (set / groups) * pieces * channels + (set % groups) * members;
    let mut elements = pieces * members;
    let mut channel = (set % groups) * members;
    if batch {
        base = set;
        elements = pieces * images;
        channel = set;
    }
    let second = images * pieces * channels;

    let mut sum = 0.0f32;
    let mut along = 0.0f32;
    let mut element = me;
    while element < elements {
        let member = element % members;
        let at = base + (element / members) * channels + member;
        let gain = scale[channel + member];
        sum += gain * sums[at];
        along += gain * sums[second + at];
        element += units;
    }

    let mut all_sums = Shared::<[f32]>::new_slice(units);
    let mut all_along = Shared::<[f32]>::new_slice(units);
    all_sums[me] = sum;
    all_along[me] = along;
    sync_cube();
    let mut half = (units / 2).runtime();
    while half > 0 {
        if me < half {
            let (other_sum, other_along) = (all_sums[me + half], all_along[me + half]);
            all_sums[me] += other_sum;
            all_along[me] += other_along;
        }
        sync_cube();
        half /= 2;
    }
    if batch {
        let mut image = me;
        while image < images {
            let to = image * channels + set;
            shares[to] = all_sums[0] / values * inverse[to];
            shares[images * channels + to] = all_along[0] / values * inverse[to];
            image += units;
        }
    } else {
        let mut member = me;
        while member < members {
            let to = set * members + member;
            shares[to] = all_sums[0] / values * inverse[to];
            shares[images * channels + to] = all_along[0] / values * inverse[to];
            member += units;
        }
    }
}

/// The gradient before norm and ReLU. A unit reads what it writes before it does, so `output` may be `upstream`.
#[cube(launch, address_type = "dynamic")]
fn input_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    upstream: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    shares: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    pixels: FastDivmod<usize>,
    own: usize,
    second: usize,
    slope: f32,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (pixel, line) = lines.div_mod(ABSOLUTE_POS);
    let (image, _) = pixels.div_mod(pixel);
    let at = image * own + line;
    let (per, gain) = (inverse[at], scale[line]);
    let n = normal::<N>(Vector::cast_from(x[ABSOLUTE_POS]), mean[at], per);
    let y = n * gain + shift[line];
    let g = gated::<N>(y, Vector::cast_from(upstream[ABSOLUTE_POS]), slope);
    output[ABSOLUTE_POS] = Vector::cast_from(g * gain * per - n * shares[second + at] - shares[at]);
}

/// What the gradient of a norm gives: those of its inputs, in the type of the maps, and those of scale and shift `[channels]`.
pub(in super::super) struct Gradients {
    pub inputs: Vec<Values<4>>,
    pub scale: Values<1>,
    pub shift: Values<1>,
}

/// The sums of a map's gradient and of that times the normed value over its pieces, `[2, batch * pieces, channels]`.
fn sums(parts: &Parts, upstream: &Lines) -> (CubeTensor, usize) {
    let map = &parts.map;
    let vector = map.vector(&[]);
    let all @ Pieces { lines, pixels, length, pieces, width, height } = Pieces::of(map, vector);
    let sums = float32(&map.tensor, [2, map.batch * pieces, map.channels]);
    let (count, dim) = all.launch(map.batch);
    sums_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector,
        map.tensor.clone().into_tensor_arg(),
        upstream.tensor.clone().into_tensor_arg(),
        parts.mean.clone().into_tensor_arg(),
        parts.inverse.clone().into_tensor_arg(),
        parts.scale.clone().into_tensor_arg(),
        parts.shift.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        lines,
        pixels,
        length,
        map.batch,
        pieces,
        parts.slope,
        width,
        height,
        stored(&map.tensor),
    );
    (sums, pieces)
}

/// Applies the shares `[2, batch, channels]` of one input: the gradient before norm and activation, in place where nobody else
/// holds the upstream.
fn apply(parts: Parts, upstream: Lines, shares: CubeTensor) -> Lines {
    let Parts { map, mean, inverse, scale, shift, slope } = parts;
    let vector = map.vector(&[]);
    let (lines, pixels) = (map.channels / vector, map.pixels());
    let units = map.batch * pixels * lines;
    let (count, dim) = spread(&map.tensor, units);
    let in_place = upstream.tensor.can_mut();
    let output = if in_place { upstream.clone() } else { Lines::empty(&map.tensor, map.dims(), map.tensor.dtype) };
    let to = if in_place { output.tensor.as_tensor_alias(1) } else { output.tensor.clone().into_tensor_arg() };
    input_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector,
        map.tensor.clone().into_tensor_arg(),
        upstream.tensor.into_tensor_arg(),
        mean.into_tensor_arg(),
        inverse.into_tensor_arg(),
        scale.into_tensor_arg(),
        shift.into_tensor_arg(),
        shares.into_tensor_arg(),
        to,
        units,
        lines,
        pixels,
        lines,
        map.batch * lines,
        slope,
        stored(&map.tensor),
    );
    output
}

/// From the gradients behind a norm and its activation to those of its inputs, and of scale and shift. `scale` and `inverse`
/// (`[batch, channels]`) are those of all inputs together.
pub(in super::super) fn norm_input(
    norm: &Norm,
    inputs: Vec<Normed>,
    upstream: Vec<Values<4>>,
    (scale, inverse): (Values<1>, Values<2>),
) -> Result<Gradients> {
    let inputs = inputs.into_iter().map(Normed::parts).collect::<Result<Vec<_>>>()?;
    let upstream = upstream.into_iter().map(Lines::of).collect::<Result<Vec<_>>>()?;
    let Some(first) = inputs.first() else { return Err(StageError::new("a norm without an input")) };
    let (batch, pixels, channels) = (first.map.batch, first.map.pixels(), norm.channels);
    let (all, pieces) = match (inputs.as_slice(), upstream.as_slice()) {
        ([input], [upstream]) => sums(input, upstream),
        // Pieces differ from map to map, so each is added up over its own first.
        _ => {
            let planes = inputs.iter().zip(&upstream).map(|(input, upstream)| {
                let (sums, pieces) = sums(input, upstream);
                tensor::<2>(fold(sums, [2 * batch, pieces, input.map.channels]))
            });
            (dense(Values::<2>::cat(planes.collect(), 1))?, 1)
        }
    };
    let shares = float32(&all, [2, batch, channels]);
    let sets = Sets::of(norm, batch);
    shares_kernel::launch(
        &all.client,
        CubeCount::Static(sets.count as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        all.clone().into_tensor_arg(),
        dense(scale)?.into_tensor_arg(),
        dense(inverse)?.into_tensor_arg(),
        shares.clone().into_tensor_arg(),
        batch,
        pieces,
        channels,
        sets.members,
        sets.values(batch, pixels) as f32,
        sets.batch,
        UNITS,
    );
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
