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

/// A pixel that a unit reads.
#[derive(CubeType, Clone, Copy)]
struct Found {
    /// Whether it is in the image, and the channels in the map; if not, zero takes its place.
    inside: bool,
    /// Where its channels are in the map.
    from: usize,
    /// Whether it is in shared memory.
    kept: bool,
    /// Where in shared memory they go.
    to: usize,
}

#[cube]
impl Halo {
    /// The pixel that this unit reads in one of its turns.
    fn find(
        &self,
        #[comptime] turn: usize,
        exists: bool,
        vector: u32,
        vectors: u32,
        #[comptime] size: usize,
        #[comptime] staging: Staging,
    ) -> Found {
        let across = comptime!(staging.depth / size);
        let columns = comptime!(staging.width as u32);
        let pixels = comptime!((staging.width * staging.height) as u32);
        let step = comptime!(staging.units / across);
        let pixel = UNIT_POS / comptime!(across as u32) + comptime!((turn * step) as u32);
        let y = self.top + pixel / columns;
        let x = self.left + pixel % columns;
        let inside = exists && y < self.height && x < self.width;
        let row = (self.image * self.height + y) as usize;
        let from = (row * self.width as usize + x as usize) * vectors as usize + vector as usize;
        let to = pixel as usize * comptime!(staging.pitch() / size) + (UNIT_POS % comptime!(across as u32)) as usize;
        Found { inside, from: select(inside, from, 0usize), kept: pixel < pixels, to }
    }
}

#[cube]
impl<E: Float, N: Size> Source<E, N> {
    /// Writes a cube's pixels of some channels to shared memory, in the type that matrix units read, starting at channel vector `first`: zeros outside of the image
    /// and after the last channel.
    pub fn load<S: Float>(&self, tile: &mut [Vector<S, N>], halo: &Halo, first: u32, #[comptime] staging: Staging) {
        let size = N::value();
        let across = comptime!(staging.depth / size);
        let step = comptime!(staging.units / across);
        let turns = comptime!((staging.width * staging.height).div_ceil(step));
        let vector = first + UNIT_POS % comptime!(across as u32);
        let exists = vector < self.vectors;
        let vector = select(exists, vector, 0u32);
        let zero = Vector::<S, N>::new(S::from_int(0));
        #[comptime]
        match &self.norm {
            ComptimeOption::Some(norm) => {
                let norm = norm.of(halo.image as usize, vector as usize, self.vectors as usize);
                #[unroll]
                for turn in 0..turns {
                    let found = halo.find(turn, exists, vector, self.vectors, size, staging);
                    let read = self.map[found.from];
                    let value = Vector::<S, N>::cast_from(norm.apply(Vector::cast_from(read)));
                    if found.kept {
                        tile[found.to] = select(found.inside, value, zero);
                    }
                }
            }
            ComptimeOption::None =>
            {
                #[unroll]
                for turn in 0..turns {
                    let found = halo.find(turn, exists, vector, self.vectors, size, staging);
                    let read = Vector::<S, N>::cast_from(self.map[found.from]);
                    if found.kept {
                        tile[found.to] = select(found.inside, read, zero);
                    }
                }
            }
        }
    }
}
