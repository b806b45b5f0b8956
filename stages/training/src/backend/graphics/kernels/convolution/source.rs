//! The inputs of a convolution, and their way into shared memory.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::normed::Norm;
use super::form::Staging;

/// A map `[batch, height, width, channels]` as a convolution reads it: through a norm, or as it is.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Source<E: Float, N: Size> {
    pub map: OwnedTensor<Vector<E, N>>,
    pub norm: ComptimeOption<Norm<N>>,
    /// Channel vectors per pixel.
    pub vectors: u32,
}

/// Where a cube's part of an input lies.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Halo {
    pub image: u32,
    /// The first row; wraps around above the image.
    pub top: u32,
    /// The first column; wraps around left of the image.
    pub left: u32,
    pub height: u32,
    pub width: u32,
}

/// The place of a pixel outside of the image.
const OUTSIDE: u32 = u32::MAX;

/// Pixels that a unit reads before it writes the first of them to shared memory, so that it waits for them together.
const BATCH: usize = 4;

#[cube]
impl Halo {
    /// For each of this unit's turns, the pixel of the map that it reads. `across` units share a pixel's channels.
    pub fn pixels(&self, #[comptime] across: usize, #[comptime] staging: Staging) -> Sequence<u32> {
        let columns = comptime!(staging.width as u32);
        let step = comptime!(staging.units / across);
        let turns = comptime!((staging.width * staging.height).div_ceil(step));
        let mut pixels = Sequence::<u32>::new();
        #[unroll]
        for turn in 0..turns {
            let pixel = UNIT_POS / comptime!(across as u32) + comptime!((turn * step) as u32);
            let y = self.top + pixel / columns;
            let x = self.left + pixel % columns;
            let inside = y < self.height && x < self.width;
            pixels.push(select(inside, (self.image * self.height + y) * self.width + x, OUTSIDE));
        }
        pixels
    }
}

#[cube]
impl<E: Float, N: Size> Source<E, N> {
    /// Writes a cube's pixels of some channels to shared memory, in the type that matrix units read, starting at channel vector
    /// `first`: zeros outside of the image and after the last channel.
    pub fn load<S: Float>(
        &self,
        tile: &mut [Vector<S, N>],
        halo: &Halo,
        pixels: &Sequence<u32>,
        first: u32,
        #[comptime] staging: Staging,
    ) {
        let size = N::value();
        let across = comptime!(staging.depth / size);
        let (pitch, step) = comptime!((staging.pitch() / size, staging.units / across));
        let all = comptime!(staging.width * staging.height);
        let turns = comptime!(all.div_ceil(step));
        let (own, column) = (UNIT_POS / comptime!(across as u32), UNIT_POS % comptime!(across as u32));
        let vector = first + column;
        let exists = vector < self.vectors;
        let vector = select(exists, vector, 0u32);
        let to = own as usize * pitch + column as usize;
        let none = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for batch in 0..comptime!(turns.div_ceil(BATCH)) {
            let (begin, end) = comptime!((batch * BATCH, turns.min((batch + 1) * BATCH)));
            let mut reads = Sequence::<Vector<E, N>>::new();
            #[unroll]
            for turn in begin..end {
                let pixel = *pixels.index(turn);
                let inside = exists && pixel != OUTSIDE;
                let from = select(inside, pixel, 0u32) as usize * self.vectors as usize + vector as usize;
                reads.push(self.map[from]);
            }
            #[unroll]
            for turn in begin..end {
                let inside = exists && *pixels.index(turn) != OUTSIDE;
                let read = Vector::<f32, N>::cast_from(*reads.index(comptime!(turn - begin)));
                #[comptime]
                let value = match &self.norm {
                    ComptimeOption::Some(norm) => {
                        norm.of(halo.image as usize, vector as usize, self.vectors as usize).apply(read)
                    }
                    ComptimeOption::None => read,
                };
                let value = Vector::<S, N>::cast_from(select(inside, value, none));
                let to = to + comptime!(turn * step * pitch);
                let whole = comptime!((turn + 1) * step <= all && staging.units.is_multiple_of(across));
                if whole || own < comptime!((all - turn * step) as u32) {
                    tile[to] = value;
                }
            }
        }
    }
}
