//! Sums over the pixels of each channel, in two steps: cubes sum pieces of an image, then a cube sums the pieces.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;

use super::nhwc::{Nhwc, addresses, float32};

/// Maximum units per cube.
const UNITS: usize = 128;
/// Minimum pixels per unit, for images that have enough.
const LEAST: usize = 16;
/// Maximum pieces per image.
const PIECES: usize = 512;

/// How the sums over an image's pixels are divided: each cube handles `width` vectors of channels and `height` pixels at a time.
#[derive(Debug, Clone, Copy, CubeType, CubeLaunch)]
pub(super) struct Pieces {
    /// Channel vectors per pixel.
    pub vectors: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Pixels per piece; the last one may have fewer.
    pub length: usize,
    /// Pieces per image.
    pub pieces: usize,
    /// Channel vectors per cube.
    #[cube(comptime)]
    pub width: usize,
    /// Pixels that a cube handles at a time, a power of two.
    #[cube(comptime)]
    pub height: usize,
}

impl Pieces {
    pub fn of(map: &Nhwc, vector_size: usize) -> Self {
        let (vectors, pixels) = (map.channels / vector_size, map.pixels().max(1));
        let width = vectors.next_power_of_two().min(32);
        let height = UNITS / width;
        let pieces = (pixels / (height * LEAST)).clamp(1, PIECES);
        let length = pixels.div_ceil(pieces);
        Self { vectors, pixels, length, pieces: pixels.div_ceil(length), width, height }
    }

    /// The launch's cubes, and units per cube.
    pub fn launch(&self, batch: usize) -> (CubeCount, CubeDim) {
        let across = self.vectors.div_ceil(self.width);
        let count = CubeCount::Static(across as u32, self.pieces as u32, batch as u32);
        (count, CubeDim::new_2d(self.width as u32, self.height as u32))
    }

    /// The launch argument.
    pub fn arg(&self) -> PiecesLaunch {
        PiecesLaunch::new(self.vectors, self.pixels, self.length, self.pieces, self.width, self.height)
    }
}

/// The pixels that a unit sums: every `height`-th pixel from `start` up to but not including `end`.
#[derive(CubeType)]
pub(super) struct Share {
    pub vector: usize,
    pub image: usize,
    pub start: usize,
    pub end: usize,
}

#[cube]
impl Pieces {
    pub fn share(&self) -> Share {
        let width = comptime!(self.width);
        let first = CUBE_POS_Y as usize * self.length;
        Share {
            vector: CUBE_POS_X as usize * width + UNIT_POS_X as usize,
            image: CUBE_POS_Z as usize,
            start: first + UNIT_POS_Y as usize,
            end: min(first + self.length, self.pixels),
        }
    }

    /// The index in a map of the share's vector in its image's first pixel.
    pub fn base(&self, share: &Share) -> usize {
        share.image * self.pixels * self.vectors + share.vector
    }

    /// The index of a piece's sum in `[batch, pieces, vectors]`.
    pub fn place(&self, share: &Share) -> usize {
        (share.image * self.pieces + CUBE_POS_Y as usize) * self.vectors + share.vector
    }

    /// Whether this unit writes the sum of its cube's column.
    pub fn writes(&self, share: &Share) -> bool {
        UNIT_POS_Y == 0 && share.vector < self.vectors
    }
}

/// The sum over a column of a cube of `width` columns and `height` rows. All units of the column get it.
#[cube]
pub(super) fn column_sum<N: Size>(
    value: Vector<f32, N>,
    #[comptime] width: usize,
    #[comptime] height: usize,
) -> Vector<f32, N> {
    let mut values = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let me = UNIT_POS as usize;
    values[me] = value;
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
    values[me % width]
}

/// The sum over a cube's units. All of them get it.
#[cube]
pub(super) fn cube_sum(value: f32, #[comptime] units: usize) -> f32 {
    column_sum::<Const<1>>(Vector::new(value), 1usize, units).extract(0usize)
}

/// Columns per cube, for cubes that sum pieces.
const FOLD_WIDTH: usize = 32;
/// Rows per cube, for cubes that sum pieces.
const FOLD_HEIGHT: usize = 8;

/// From `[outer, pieces, inner]` to `[outer, inner]`; either what was there before is replaced, or it is added to.
#[cube(launch, address_type = "dynamic")]
fn fold_kernel(parts: &Tensor<f32>, sums: &mut Tensor<f32>, pieces: usize, inner: usize, #[comptime] adds: bool) {
    let row = UNIT_POS_Y as usize;
    let at = (CUBE_POS_Y * CUBE_COUNT_X + CUBE_POS_X) as usize * FOLD_WIDTH + UNIT_POS_X as usize;
    let outer = CUBE_POS_Z as usize;
    let mut sum = Vector::<f32, Const<1>>::new(0.0f32);
    if at < inner {
        let mut piece = row;
        while piece < pieces {
            sum += Vector::new(parts[(outer * pieces + piece) * inner + at]);
            piece += FOLD_HEIGHT;
        }
    }
    let all = column_sum::<Const<1>>(sum, FOLD_WIDTH, FOLD_HEIGHT);
    if row == 0 && at < inner {
        let mut sum = all.extract(0usize);
        if adds {
            sum += sums[outer * inner + at];
        }
        sums[outer * inner + at] = sum;
    }
}

/// Sums the pieces of `[outer, pieces, inner]` in float32.
pub(super) fn fold(parts: CubeTensor, [outer, pieces, inner]: [usize; 3]) -> CubeTensor {
    let sums = float32(&parts, [outer, inner]);
    launch(parts, &sums, [outer, pieces, inner], false);
    sums
}

/// Adds the sums of the pieces of `[outer, pieces, inner]` to `sum`, in place, whoever else holds its memory.
pub(super) fn fold_into(sum: &CubeTensor, parts: CubeTensor, dims: [usize; 3]) {
    launch(parts, sum, dims, true);
}

fn launch(parts: CubeTensor, sums: &CubeTensor, [outer, pieces, inner]: [usize; 3], adds: bool) {
    // No graphics interface guarantees more than 65,535 cubes in one direction.
    let blocks = inner.div_ceil(FOLD_WIDTH).max(1);
    let across = blocks.min(1 << 15);
    fold_kernel::launch(
        &sums.client,
        CubeCount::Static(across as u32, blocks.div_ceil(across) as u32, outer as u32),
        CubeDim::new_2d(FOLD_WIDTH as u32, FOLD_HEIGHT as u32),
        addresses(&[&parts, sums]),
        parts.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        pieces,
        inner,
        adds,
    );
}
