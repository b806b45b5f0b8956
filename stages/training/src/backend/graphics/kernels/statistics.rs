//! The statistics of norms: partial ones of each map, by a launch that reads it once; and those of what shares them, merged.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::channels::{Pieces, share};
use super::lines::{Lines, Values, addresses, dense, float32, stored, tensor};
use crate::layer::{Norm, NormKind};

/// How many units add up the pieces of a set of pixels that share their statistics.
pub(super) const UNITS: usize = 128;

/// Which sums belong together: a group of a sample's channels, or a channel of all samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets {
    /// Channels of a set.
    pub members: usize,
    /// Whether a set goes over all samples.
    pub batch: bool,
    pub count: usize,
}

impl Sets {
    /// Those of a norm, for so many samples.
    pub fn of(norm: &Norm, batch: usize) -> Self {
        let members = norm.members();
        match norm.kind {
            NormKind::Batch => Self { members: 1, batch: true, count: norm.channels },
            NormKind::Group | NormKind::Instance => Self { members, batch: false, count: batch * (norm.channels / members) },
        }
    }

    /// How many values a set has.
    pub fn values(&self, batch: usize, pixels: usize) -> usize {
        self.members * pixels * if self.batch { batch } else { 1 }
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
    variance: &mut Tensor<f32>,
    images: usize,
    pieces: usize,
    channels: usize,
    members: usize,
    pixels: usize,
    length: usize,
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
    if batch {
        let mut image = me;
        while image < images {
            let to = image * channels + set;
            mean[to] = centres[0];
            variance[to] = spread;
            image += units;
        }
    } else {
        let mut member = me;
        while member < members {
            let to = set * members + member;
            mean[to] = centres[0];
            variance[to] = spread;
            member += units;
        }
    }
}

/// Mean and sum of squared deviations of each channel over each piece of each image of a map, `[batch, pieces, channels]`.
pub(crate) struct Partial {
    means: CubeTensor,
    squares: CubeTensor,
    batch: usize,
    pixels: usize,
    length: usize,
    pieces: usize,
    channels: usize,
}

/// The partial statistics of a map `[batch, channels, height, width]`.
pub(in super::super) fn partial(map: Values<4>) -> Result<Partial> {
    let map = Lines::of(map)?;
    let vector = map.vector(&[]);
    let all @ Pieces { lines, pixels, length, pieces, width, height } = Pieces::of(&map, vector);
    let shape = [map.batch, pieces, map.channels];
    let (means, squares) = (float32(&map.tensor, shape), float32(&map.tensor, shape));
    let (count, dim) = all.launch(map.batch);
    moments_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector,
        map.tensor.clone().into_tensor_arg(),
        means.clone().into_tensor_arg(),
        squares.clone().into_tensor_arg(),
        lines,
        pixels,
        length,
        pieces,
        width,
        height,
        stored(&map.tensor),
    );
    Ok(Partial { means, squares, batch: map.batch, pixels, length, pieces, channels: map.channels })
}

/// The statistics of several maps side by side along channels. Their pieces may differ, so each is merged over its own pieces
/// first.
pub(in super::super) fn join(mut partials: Vec<Partial>) -> Result<Partial> {
    let Some(last) = partials.pop() else { return Err(StageError::new("a norm without an input")) };
    if partials.is_empty() {
        return Ok(last);
    }
    let Partial { batch, pixels, .. } = last;
    partials.push(last);
    let channels = partials.iter().map(|partial| partial.channels).sum();
    let (mut means, mut squares) = (Vec::new(), Vec::new());
    for partial in &partials {
        let planes = Sets { members: 1, batch: false, count: batch * partial.channels };
        let [mean, variance] = merged(planes, partial);
        means.push(mean);
        squares.push(variance * pixels as f64);
    }
    let (means, squares) = (dense(Values::cat(means, 1))?, dense(Values::cat(squares, 1))?);
    Ok(Partial { means, squares, batch, pixels, length: pixels, pieces: 1, channels })
}

/// Mean and biased variance `[batch, channels]` over all values that share them.
pub(in super::super) fn merge(norm: &Norm, partial: &Partial) -> [Values<2>; 2] {
    merged(Sets::of(norm, partial.batch), partial)
}

fn merged(sets: Sets, partial: &Partial) -> [Values<2>; 2] {
    let &Partial { batch, pixels, length, pieces, channels, .. } = partial;
    let made: [_; 2] = std::array::from_fn(|_| float32(&partial.means, [batch, channels]));
    let [mean, variance] = made.clone();
    statistics_kernel::launch(
        &partial.means.client,
        CubeCount::Static(sets.count as u32, 1, 1),
        CubeDim::new_1d(UNITS as u32),
        partial.means.clone().into_tensor_arg(),
        partial.squares.clone().into_tensor_arg(),
        mean.into_tensor_arg(),
        variance.into_tensor_arg(),
        batch,
        pieces,
        channels,
        sets.members,
        pixels,
        length,
        sets.batch,
        UNITS,
    );
    made.map(tensor::<2>)
}
