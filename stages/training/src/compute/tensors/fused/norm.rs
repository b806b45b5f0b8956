//! The norms: statistics by two launches, each map read once; the gradient by three, each map read twice.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::activation::normal;
use super::channels::{Pieces, add_columns, fold, share};
use super::{Lines, Parts, Values, addresses, float32, spread, stored, tensor};
use crate::compute::tensors::Normed;
use crate::compute::tensors::norm::{Gradients, Moments};
use crate::network::{Norm, NormKind};

/// How many units add up the pieces of a set of pixels that share their statistics.
const UNITS: usize = 128;

/// Which sums belong together: a group of a sample's channels, or a channel of all samples.
#[derive(Debug, Clone, Copy)]
struct Sets {
    /// Channels of a set.
    members: usize,
    /// Whether a set goes over all samples.
    batch: bool,
    count: usize,
}

impl Sets {
    fn of(norm: &Norm, map: &Lines) -> Self {
        let members = norm.members();
        match norm.kind {
            NormKind::Batch => Self { members: 1, batch: true, count: map.channels },
            NormKind::Group | NormKind::Instance => Self { members, batch: false, count: map.batch * (map.channels / members) },
        }
    }
}

/// Mean and sum of squared deviations of two parts together, the first of `left` values, the second of `right` (Chan, Golub and LeVeque,
/// 1979). A sum of squares by itself would lose the variance of a channel far from zero.
#[cube]
fn pooled<N: Size>(
    left: f32,
    mean: Vector<f32, N>,
    squares: Vector<f32, N>,
    right: f32,
    other_mean: Vector<f32, N>,
    other_squares: Vector<f32, N>,
) -> (Vector<f32, N>, Vector<f32, N>) {
    let share = right / max(left + right, 1.0f32);
    let apart = other_mean - mean;
    let joint = mean + apart * Vector::new(share);
    (joint, squares + other_squares + apart * apart * Vector::new(left * share))
}

/// Mean and sum of squared deviations of each channel over a piece of an image.
#[cube(launch, address_type = "dynamic")]
fn moments_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    means: &mut Tensor<Vector<f32, N>>,
    squares: &mut Tensor<Vector<f32, N>>,
    lines: usize,
    pixels: usize,
    length: usize,
    pieces: usize,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[define(E)] _dtype: ElemType,
) {
    let (line, image, start, end) = share(pixels, length, width);

    let mut count = 0.0f32;
    let mut mean = Vector::<f32, N>::new(0.0f32);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if line < lines {
        let base = image * pixels * lines + line;
        let mut at = start;
        while at < end {
            let value = Vector::<f32, N>::cast_from(x[base + at * lines]);
            count += 1.0f32;
            let apart = value - mean;
            mean += apart * Vector::new(1.0f32 / count);
            sum += apart * (value - mean);
            at += height;
        }
    }

    let mut all_counts = Shared::<[f32]>::new_slice(comptime!(width * height));
    let mut all_means = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let mut all_squares = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let me = UNIT_POS as usize;
    all_counts[me] = count;
    all_means[me] = mean;
    all_squares[me] = sum;
    sync_cube();
    let mut half = (height / 2).runtime();
    while half > 0 {
        if me < half * width {
            let other = me + half * width;
            let (joint, joint_squares) = pooled::<N>(
                all_counts[me],
                all_means[me],
                all_squares[me],
                all_counts[other],
                all_means[other],
                all_squares[other],
            );
            all_means[me] = joint;
            all_squares[me] = joint_squares;
            all_counts[me] += all_counts[other];
        }
        sync_cube();
        half /= 2;
    }
    if UNIT_POS_Y == 0 && line < lines {
        let to = (image * pieces + CUBE_POS_Y as usize) * lines + line;
        means[to] = all_means[me];
        squares[to] = all_squares[me];
    }
}

/// From the pieces `[batch, pieces, channels]` to `[batch, channels]`: a cube for each set.
#[cube(launch)]
fn statistics_kernel(
    means: &Tensor<f32>,
    squares: &Tensor<f32>,
    mean: &mut Tensor<f32>,
    inverse: &mut Tensor<f32>,
    variance: &mut Tensor<f32>,
    images: usize,
    pieces: usize,
    channels: usize,
    members: usize,
    pixels: usize,
    length: usize,
    epsilon: f32,
    #[comptime] batch: bool,
    #[comptime] units: usize,
) {
    let set = CUBE_POS_X as usize;
    let me = UNIT_POS_X as usize;
    let groups = channels / members;
    let mut base = (set / groups) * pieces * channels + (set % groups) * members;
    let mut elements = pieces * members;
    if batch {
        base = set;
        elements = pieces * images;
    }

    let mut count = 0.0f32;
    let mut centre = 0.0f32;
    let mut sum = 0.0f32;
    let mut element = me;
    while element < elements {
        let piece = element / members;
        let at = base + piece * channels + element % members;
        let first = (piece % pieces) * length;
        let right = f32::cast_from(min(first + length, pixels) - first);
        let share = right / max(count + right, 1.0f32);
        let apart = means[at] - centre;
        centre += apart * share;
        sum += squares[at] + apart * apart * count * share;
        count += right;
        element += units;
    }

    let mut counts = Shared::<[f32]>::new_slice(units);
    let mut centres = Shared::<[f32]>::new_slice(units);
    let mut sums = Shared::<[f32]>::new_slice(units);
    counts[me] = count;
    centres[me] = centre;
    sums[me] = sum;
    sync_cube();
    let mut half = (units / 2).runtime();
    while half > 0 {
        if me < half {
            let other = me + half;
            let (left, right) = (counts[me], counts[other]);
            let share = right / max(left + right, 1.0f32);
            let apart = centres[other] - centres[me];
            centres[me] += apart * share;
            sums[me] += sums[other] + apart * apart * left * share;
            counts[me] = left + right;
        }
        sync_cube();
        half /= 2;
    }
    let spread = sums[0] / counts[0];
    let per = 1.0f32 / f32::sqrt(spread + epsilon);
    if batch {
        let mut image = me;
        while image < images {
            let to = image * channels + set;
            mean[to] = centres[0];
            inverse[to] = per;
            variance[to] = spread;
            image += units;
        }
    } else {
        let mut member = me;
        while member < members {
            let to = set * members + member;
            mean[to] = centres[0];
            inverse[to] = per;
            variance[to] = spread;
            member += units;
        }
    }
}

/// Mean, inverse deviation and biased variance `[batch, channels]` of a map `[batch, channels, height, width]`.
pub(in super::super) fn moments(norm: &Norm, map: Values<4>) -> Result<(Moments, Values<2>)> {
    let map = Lines::of(map)?;
    let vector = map.vector(&[]);
    let pieces = Pieces::of(&map, vector);
    let partial = [map.batch, pieces.pieces, map.channels];
    let (means, squares) = (float32(&map.tensor, partial), float32(&map.tensor, partial));
    let (count, dim) = pieces.launch(map.batch);
    let client = map.tensor.client.clone();
    moments_kernel::launch(
        &client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector,
        map.tensor.clone().into_tensor_arg(),
        means.clone().into_tensor_arg(),
        squares.clone().into_tensor_arg(),
        pieces.lines,
        pieces.pixels,
        pieces.length,
        pieces.pieces,
        pieces.width,
        pieces.height,
        stored(&map.tensor),
    );
    let sets = Sets::of(norm, &map);
    let made: [_; 3] = std::array::from_fn(|_| float32(&map.tensor, [map.batch, map.channels]));
    let [mean, inverse, variance] = made.clone();
    statistics_kernel::launch(
        &client,
        CubeCount::Static(sets.count as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        means.into_tensor_arg(),
        squares.into_tensor_arg(),
        mean.into_tensor_arg(),
        inverse.into_tensor_arg(),
        variance.into_tensor_arg(),
        map.batch,
        pieces.pieces,
        map.channels,
        sets.members,
        pieces.pixels,
        pieces.length,
        Norm::EPSILON as f32,
        sets.batch,
        UNITS,
    );
    let [mean, inverse, variance] = made.map(tensor::<2>);
    Ok((Moments { mean, inverse }, variance))
}

/// With g the gradient behind the ReLU and n the normed value: the sums of g and of g n over a piece of an image.
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
            let g = select_many(y.less_equal(&zero), zero, Vector::cast_from(upstream[base + at * lines]));
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
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (pixel, line) = lines.div_mod(ABSOLUTE_POS);
    let (image, _) = pixels.div_mod(pixel);
    let at = image * own + line;
    let zero = Vector::<f32, N>::new(0.0f32);
    let (per, gain) = (inverse[at], scale[line]);
    let n = normal::<N>(Vector::cast_from(x[ABSOLUTE_POS]), mean[at], per);
    let y = n * gain + shift[line];
    let g = select_many(y.less_equal(&zero), zero, Vector::cast_from(upstream[ABSOLUTE_POS]));
    output[ABSOLUTE_POS] = Vector::cast_from(g * gain * per - n * shares[second + at] - shares[at]);
}

/// As `norm::input` does it by tensors; the gradient is in the type of the maps.
pub(in super::super) fn norm_input(norm: &Norm, normed: Normed, upstream: Values<4>) -> Result<Gradients> {
    let Parts { map, mean, inverse, scale, shift } = normed.parts()?;
    let upstream = Lines::of(upstream)?;
    let vector = map.vector(&[]);
    let pieces = Pieces::of(&map, vector);
    let sums = float32(&map.tensor, [2, map.batch * pieces.pieces, map.channels]);
    let (count, dim) = pieces.launch(map.batch);
    let client = map.tensor.client.clone();
    sums_kernel::launch(
        &client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector,
        map.tensor.clone().into_tensor_arg(),
        upstream.tensor.clone().into_tensor_arg(),
        mean.clone().into_tensor_arg(),
        inverse.clone().into_tensor_arg(),
        scale.clone().into_tensor_arg(),
        shift.clone().into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pieces.lines,
        pieces.pixels,
        pieces.length,
        map.batch,
        pieces.pieces,
        pieces.width,
        pieces.height,
        stored(&map.tensor),
    );
    let sets = Sets::of(norm, &map);
    let shares = float32(&map.tensor, [2, map.batch, map.channels]);
    let values = sets.members * pieces.pixels * if sets.batch { map.batch } else { 1 };
    shares_kernel::launch(
        &client,
        CubeCount::Static(sets.count as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        sums.clone().into_tensor_arg(),
        scale.clone().into_tensor_arg(),
        inverse.clone().into_tensor_arg(),
        shares.clone().into_tensor_arg(),
        map.batch,
        pieces.pieces,
        map.channels,
        sets.members,
        values as f32,
        sets.batch,
        UNITS,
    );
    let units = map.batch * pieces.pixels * pieces.lines;
    let (count, dim) = spread(&map.tensor, units);
    // In place, where nobody else holds the gradient.
    let in_place = upstream.tensor.can_mut();
    let output = if in_place { upstream.clone() } else { Lines::empty(&map.tensor, map.dims(), map.tensor.dtype) };
    let to = if in_place { output.tensor.as_tensor_alias(1) } else { output.tensor.clone().into_tensor_arg() };
    input_kernel::launch(
        &client,
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
        pieces.lines,
        pieces.pixels,
        pieces.lines,
        map.batch * pieces.lines,
        stored(&map.tensor),
    );
    let channels = map.channels;
    let sums = tensor::<2>(fold(sums, [2, map.batch * pieces.pieces, channels]));
    let sum = |which| sums.clone().narrow(0, which, 1);
    Ok(Gradients { input: output.map(), scale: sum(1), shift: sum(0) })
}
