//! Partial statistics of maps, and how they are merged into fewer.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::moments::{column_moments, merge_two, moments};
use super::nhwc::float32;

/// Channels per cube, for cubes that merge pieces.
const WIDTH: usize = 32;
/// Pieces that such a cube reads at a time.
const HEIGHT: usize = 8;
/// Pieces that are merged by one cube per set.
const FEW: usize = 64;

/// Merges every `length` neighbouring pieces.
#[cube(launch)]
fn fewer_kernel(
    means: &Tensor<f32>,
    squares: &Tensor<f32>,
    counts: &Tensor<f32>,
    to_means: &mut Tensor<f32>,
    to_squares: &mut Tensor<f32>,
    to_counts: &mut Tensor<f32>,
    pieces: usize,
    length: usize,
    channels: usize,
) {
    let channel = CUBE_POS_X as usize * WIDTH + UNIT_POS_X as usize;
    let (group, image) = (CUBE_POS_Y as usize, CUBE_POS_Z as usize);
    let end = min((group + 1) * length, pieces);
    let mut count = 0.0f32;
    let mut mean = Vector::<f32, Const<1>>::new(0.0f32);
    let mut sum = Vector::<f32, Const<1>>::new(0.0f32);
    if channel < channels {
        let mut piece = group * length + UNIT_POS_Y as usize;
        while piece < end {
            let at = (image * pieces + piece) * channels + channel;
            let seen = moments::<Const<1>>(count, mean, sum);
            let own = moments::<Const<1>>(counts[piece], Vector::new(means[at]), Vector::new(squares[at]));
            let both = merge_two::<Const<1>>(&seen, &own);
            count = both.count;
            mean = both.mean;
            sum = both.squares;
            piece += HEIGHT;
        }
    }
    let own = moments::<Const<1>>(count, mean, sum);
    let all = column_moments::<Const<1>>(&own, WIDTH, HEIGHT, 1usize);
    if UNIT_POS_Y == 0 && channel < channels {
        let to = (image * CUBE_COUNT_Y as usize + group) * channels + channel;
        to_means[to] = all.mean.extract(0usize);
        to_squares[to] = all.squares.extract(0usize);
        if image == 0 && channel == 0 {
            to_counts[group] = all.count;
        }
    }
}

/// Mean and sum of squared deviations of each channel over each piece of each image of a map.
#[derive(Debug, Clone)]
pub(crate) struct Partial {
    /// `[batch, pieces, channels]`.
    pub(super) means: CubeTensor,
    pub(super) squares: CubeTensor,
    /// Pixels per piece, `[pieces]`.
    pub(super) counts: CubeTensor,
    /// Batch, pieces and channels.
    pub(super) dims: [usize; 3],
    /// Pixels per image.
    pub(super) pixels: usize,
}

impl Partial {
    /// Uninitialised.
    pub(super) fn empty(like: &CubeTensor, dims: [usize; 3], pixels: usize) -> Self {
        let [_, pieces, _] = dims;
        Self { means: float32(like, dims), squares: float32(like, dims), counts: float32(like, [pieces]), dims, pixels }
    }

    /// The means, squares and counts as arguments of a launch that writes them.
    pub(super) fn args(&self) -> [TensorArg; 3] {
        [&self.means, &self.squares, &self.counts].map(|tensor| tensor.clone().into_tensor_arg())
    }

    /// The same statistics over so few pieces that one cube can merge those of a set.
    pub(super) fn fewer(self) -> Self {
        let [batch, pieces, channels] = self.dims;
        if pieces <= 2 * FEW {
            return self;
        }
        let length = pieces.div_ceil(FEW);
        let groups = pieces.div_ceil(length);
        let made = Self::empty(&self.means, [batch, groups, channels], self.pixels);
        let [means, squares, counts] = self.args();
        let [to_means, to_squares, to_counts] = made.args();
        fewer_kernel::launch(
            &self.means.client,
            CubeCount::Static(channels.div_ceil(WIDTH) as u32, groups as u32, batch as u32),
            CubeDim::new_2d(WIDTH as u32, HEIGHT as u32),
            means,
            squares,
            counts,
            to_means,
            to_squares,
            to_counts,
            pieces,
            length,
            channels,
        );
        made
    }
}
