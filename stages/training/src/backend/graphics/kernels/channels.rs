//! Sums over the pixels of each channel, in two steps: cubes add up pieces of an image, then a cube adds up the pieces.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::lines::{Lines, addresses, float32};

/// At most so many units work together on a piece.
const UNITS: usize = 128;
/// At least so many pixels a unit adds up, as long as there are so many.
const LEAST: usize = 16;
/// At most so many pieces an image is cut into.
const PIECES: usize = 512;

/// How the sums over an image's pixels are shared out: cubes of `width` lines of channels and `height` pixels at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces {
    /// Lines of channels a pixel has.
    pub lines: usize,
    /// Pixels an image has.
    pub pixels: usize,
    /// Pixels of a piece; the last one may have fewer.
    pub length: usize,
    /// Pieces an image has.
    pub pieces: usize,
    /// Lines of channels that a cube works on.
    pub width: usize,
    /// Pixels that a cube works on at a time, a power of two.
    pub height: usize,
}

impl Pieces {
    pub fn of(map: &Lines, vector: usize) -> Self {
        let (lines, pixels) = (map.channels / vector, map.pixels().max(1));
        let width = lines.next_power_of_two().min(32);
        let height = UNITS / width;
        let pieces = (pixels / (height * LEAST)).clamp(1, PIECES);
        let length = pixels.div_ceil(pieces);
        Self { lines, pixels, length, pieces: pixels.div_ceil(length), width, height }
    }

    pub fn launch(&self, batch: usize) -> (CubeCount, CubeDim) {
        let across = self.lines.div_ceil(self.width);
        let count = CubeCount::Static(across as u32, self.pieces as u32, batch as u32);
        (count, CubeDim::new_2d(self.width as u32, self.height as u32))
    }
}

/// What a unit adds up: its line of channels, its image, its first pixel and the end of its piece. From one pixel to the next it goes as many
/// as the cube is high.
#[cube]
pub(super) fn share(pixels: usize, length: usize, #[comptime] width: usize) -> (usize, usize, usize, usize) {
    let line = CUBE_POS_X as usize * width + UNIT_POS_X as usize;
    let first = CUBE_POS_Y as usize * length;
    (line, CUBE_POS_Z as usize, first + UNIT_POS_Y as usize, min(first + length, pixels))
}

/// Adds up what the units of a cube of one column hold; the sum is the column's first unit's. `me` is a unit's place in the cube.
#[cube]
pub(super) fn add_columns<N: Size>(
    values: &mut Shared<[Vector<f32, N>]>,
    me: usize,
    #[comptime] width: usize,
    #[comptime] height: usize,
) {
    sync_cube();
    let mut half = (height / 2).runtime();
    while half > 0 {
        if me < half * width {
            let other = values[me + half * width];
            values[me] += other;
        }
        sync_cube();
        half /= 2;
    }
}

/// Columns and rows of a cube that adds up pieces.
const FOLD: [usize; 2] = [32, 8];

/// From `[outer, pieces, inner]` to `[outer, inner]`.
#[cube(launch, address_type = "dynamic")]
fn fold_kernel(
    parts: &Tensor<f32>,
    sums: &mut Tensor<f32>,
    pieces: usize,
    inner: usize,
    #[comptime] width: usize,
    #[comptime] height: usize,
) {
    let column = UNIT_POS_X as usize;
    let row = UNIT_POS_Y as usize;
    let at = (CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) as usize * width + column;
    let outer = CUBE_POS_Z as usize;
    let mut sum = Vector::<f32, Const<1>>::new(0.0f32);
    if at < inner {
        let mut piece = row;
        while piece < pieces {
            sum += Vector::new(parts[(outer * pieces + piece) * inner + at]);
            piece += height;
        }
    }
    let mut all = Shared::<[Vector<f32, Const<1>>]>::new_slice(comptime!(width * height));
    let me = row * width + column;
    all[me] = sum;
    add_columns::<Const<1>>(&mut all, me, width, height);
    if row == 0 && at < inner {
        sums[outer * inner + at] = all[me].extract(0usize);
    }
}

/// Adds up the pieces of `[outer, pieces, inner]` in float32.
pub(super) fn fold(parts: CubeTensor, [outer, pieces, inner]: [usize; 3]) -> CubeTensor {
    let sums = float32(&parts, [outer, inner]);
    let [width, height] = FOLD;
    // No interface promises more than 65,535 cubes in a direction.
    let blocks = inner.div_ceil(width).max(1);
    let across = blocks.min(1 << 15);
    fold_kernel::launch(
        &sums.client,
        CubeCount::Static(across as u32, blocks.div_ceil(across) as u32, outer as u32),
        CubeDim::new_2d(width as u32, height as u32),
        addresses(&[&parts]),
        parts.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pieces,
        inner,
        width,
        height,
    );
    sums
}
