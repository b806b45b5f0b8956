//! From a cube's sums to its part of the output map, and the partial statistics of that part's channels.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::cmma;
use burn_cubecl::cubecl::cmma::MatrixLayout;
use burn_cubecl::cubecl::prelude::*;

use super::super::moments::{column_moments, moments};
use super::form::Form;

/// The partial statistics that a convolution writes: for each cube's pixels, how many there are, and each channel's mean and sum of
/// squared deviations.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Sums<O: Size> {
    /// `[batch, pieces, channels]`.
    pub means: OwnedTensor<Vector<f32, O>>,
    pub squares: OwnedTensor<Vector<f32, O>>,
    /// `[pieces]`.
    pub counts: OwnedTensor<f32>,
}

/// What a cube computes.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Place {
    pub image: u32,
    /// The first row of pixels, and the first column.
    pub top: u32,
    pub left: u32,
    /// The first channel.
    pub first: u32,
    /// Where in a 2x2 window its pixels go, if the output is scattered.
    pub tap: u32,
}

/// The output of a convolution.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Output<E: Float, O: Size> {
    pub map: OwnedTensor<Vector<E, O>>,
    /// Rows and columns that are computed: half of the map's if it is scattered.
    pub height: u32,
    pub width: u32,
    /// Channel vectors per pixel.
    pub vectors: u32,
    /// Cubes along the channels.
    pub blocks: u32,
    pub bias: ComptimeOption<OwnedTensor<Vector<f32, O>>>,
    /// The activation's slope below zero.
    pub slope: ComptimeOption<f32>,
    /// The partial statistics of the map's channels, one per row of cubes.
    pub sums: ComptimeOption<Sums<O>>,
}

/// Applies bias and activation, and writes the output and its partial statistics. One image row of a plane at a time goes through
/// shared memory, where matrix units leave it as rows of channels.
#[cube]
pub(super) fn finish<E: Float, O: Size>(
    sums: &Sequence<cmma::Matrix<f32>>,
    output: &mut Output<E, O>,
    place: &Place,
    #[comptime] form: Form,
) {
    let size = O::value();
    let (m, n) = comptime!((form.unit.rows, form.unit.columns));
    let (rows, blocks) = comptime!((form.tile.rows, form.tile.blocks));
    let pitch = comptime!(form.bounce_pitch(size));
    // Channel vectors that a plane handles at once, and its pixels at once.
    let vectors = comptime!((form.plane_outputs() / size).min(form.plane));
    let pixels = comptime!(form.plane / vectors);
    let columns = comptime!(form.plane_outputs() / size / vectors);
    let mut bounce = Shared::<[Vector<f32, O>]>::new_aligned_slice(comptime!(form.planes() * m * pitch / size), 32usize);

    let plane = (UNIT_POS / comptime!(form.plane as u32)) as usize;
    let lane = UNIT_POS % comptime!(form.plane as u32);
    let down = plane % comptime!(form.tile.down);
    let across = plane / comptime!(form.tile.down);
    let begin = plane * comptime!(m * pitch / size);
    let (own, pixel) = (lane % comptime!(vectors as u32), lane / comptime!(vectors as u32));
    let channels = place.first / comptime!(size as u32) + (across * comptime!(columns * vectors)) as u32;

    #[unroll]
    for column in 0..columns {
        let offset = own + comptime!((column * vectors) as u32);
        let vector = channels + offset;
        let exists = vector < output.vectors;
        let mut count = 0.0f32;
        let mut near = Vector::<f32, O>::new(0.0f32);
        let mut mean = Vector::<f32, O>::new(0.0f32);
        let mut squares = Vector::<f32, O>::new(0.0f32);
        let mut offset_by = Vector::<f32, O>::new(0.0f32);
        #[comptime]
        if let ComptimeOption::Some(bias) = &output.bias {
            offset_by = bias[select(exists, vector, 0u32) as usize];
        }
        #[unroll]
        for row in 0..rows {
            #[unroll]
            for block in 0..comptime!(blocks / columns) {
                let block = comptime!(column * (blocks / columns) + block);
                let at = begin + comptime!(block * n / size);
                let end = begin + comptime!(m * pitch / size);
                let from = sums.index(comptime!(row * blocks + block));
                cmma::store(&mut bounce[at..end], from, comptime!(pitch as u32), MatrixLayout::RowMajor);
            }
            sync_plane();
            let y = place.top + (down * rows + row) as u32;
            #[unroll]
            for turn in 0..comptime!(m / pixels) {
                let pixel = pixel + comptime!((turn * pixels) as u32);
                let x = place.left + pixel;
                if exists && y < output.height && x < output.width {
                    let mut value = bounce[begin + pixel as usize * comptime!(pitch / size) + offset as usize];
                    #[comptime]
                    if output.bias.is_some() {
                        value += offset_by;
                    }
                    #[comptime]
                    if let ComptimeOption::Some(slope) = &output.slope {
                        value = select_many(value.less_equal(&Vector::new(0.0f32)), value * Vector::new(*slope), value);
                    }
                    let factor = comptime!(form.factor() as u32);
                    let line = (place.image * output.height + y) * factor + place.tap / factor;
                    let pixel = line as usize * (output.width * factor) as usize + (x * factor + place.tap % factor) as usize;
                    let to = pixel * output.vectors as usize + vector as usize;
                    let stored = Vector::<E, O>::cast_from(value);
                    output.map[to] = stored;
                    #[comptime]
                    if output.sums.is_some() {
                        // The statistics are those of the values as they are stored (Welford, 1962).
                        let value = Vector::<f32, O>::cast_from(stored);
                        // Deviations from the first value, which is close to the mean.
                        near = select(count == 0.0f32, value, near);
                        count += 1.0f32;
                        let apart = value - near;
                        mean += apart;
                        squares += apart * apart;
                    }
                }
            }
            sync_plane();
        }
        #[comptime]
        if let ComptimeOption::Some(sums) = &mut output.sums {
            let share = Vector::new(1.0f32 / max(count, 1.0f32));
            let own = moments::<O>(count, near + mean * share, squares - mean * mean * share);
            let height = comptime!(form.tile.down * pixels);
            let all = column_moments::<O>(&own, vectors, height, comptime!(form.tile.across));
            let piece = CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X;
            let pieces = CUBE_COUNT_X * CUBE_COUNT_Y;
            if pixel == 0 && down == 0 && exists {
                let to = (place.image * pieces + piece) as usize * output.vectors as usize + vector as usize;
                sums.means[to] = all.mean;
                sums.squares[to] = all.squares;
                if vector == 0 && place.image == 0 {
                    sums.counts[piece as usize] = all.count;
                }
            }
        }
    }
}
