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

/// Pixels for each unit up to which their places are found once, and each has code of its own. For more, a compiler would take
/// longer than they save.
const FEW: usize = 16;

/// Turns in which a cube's units load a part of a map, when this many of them share a pixel's channels.
const fn turns(across: usize, staging: Staging) -> usize {
    (staging.width * staging.height).div_ceil(staging.units / across)
}

#[cube]
impl Halo {
    /// The pixel of the map at place `at` of this part.
    fn pixel(&self, at: u32, #[comptime] staging: Staging) -> u32 {
        let columns = comptime!(staging.width as u32);
        let y = self.top + at / columns;
        let x = self.left + at % columns;
        let inside = y < self.height && x < self.width;
        select(inside, (self.image * self.height + y) * self.width + x, OUTSIDE)
    }

    /// For each of this unit's turns, the pixel of the map that it reads, if they are few. `across` units share a pixel's channels.
    pub fn pixels(&self, #[comptime] across: usize, #[comptime] staging: Staging) -> Sequence<u32> {
        let step = comptime!(staging.units / across);
        let turns = comptime!(turns(across, staging));
        let mut pixels = Sequence::<u32>::new();
        #[unroll]
        for turn in 0..comptime!(if turns > FEW { 0 } else { turns }) {
            pixels.push(self.pixel(UNIT_POS / comptime!(across as u32) + comptime!((turn * step) as u32), staging));
        }
        pixels
    }
}

/// What a unit loads in some turns.
#[derive(CubeType, Clone, Copy)]
struct Own {
    image: u32,
    /// The first turn's pixel among the cube's.
    pixel: u32,
    /// The map's channel vector; the first one where there is none.
    vector: u32,
    exists: bool,
    /// The place of the channel vector among the cube's.
    column: u32,
}

/// Some of a unit's turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Turns {
    /// Their place in the list of pixels.
    begin: usize,
    count: usize,
    /// How many of them have a pixel in the cube's part, whichever unit it is.
    whole: usize,
}

#[cube]
impl<E: Float, N: Size> Source<E, N> {
    /// Writes a cube's pixels of some channels to shared memory, in the type that matrix units read, starting at channel vector
    /// `first`: zeros outside of the image and after the last channel. `pixels` are the halo's.
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
        let step = comptime!(staging.units / across);
        let turns = comptime!(turns(across, staging));
        let (pixel, column) = (UNIT_POS / comptime!(across as u32), UNIT_POS % comptime!(across as u32));
        let vector = first + column;
        let exists = vector < self.vectors;
        let mut own = Own { image: halo.image, pixel, vector: select(exists, vector, 0u32), exists, column };
        if comptime!(turns > FEW) {
            for batch in 0..comptime!(turns.div_ceil(BATCH) as u32) {
                own.pixel = pixel + batch * comptime!((BATCH * step) as u32);
                let mut pixels = Sequence::<u32>::new();
                #[unroll]
                for turn in 0..BATCH {
                    pixels.push(halo.pixel(own.pixel + comptime!((turn * step) as u32), staging));
                }
                self.batch::<S>(tile, &pixels, &own, comptime!(Turns { begin: 0, count: BATCH, whole: 0 }), staging);
            }
        } else {
            let whole = comptime!(if staging.units.is_multiple_of(across) { staging.width * staging.height / step } else { 0 });
            #[unroll]
            for batch in 0..comptime!(turns.div_ceil(BATCH)) {
                let begin = comptime!(batch * BATCH);
                own.pixel = pixel + comptime!((begin * step) as u32);
                let turns = comptime!(Turns { begin, count: (turns - begin).min(BATCH), whole: whole.saturating_sub(begin) });
                self.batch::<S>(tile, pixels, &own, turns, staging);
            }
        }
    }

    /// Reads the pixels of some turns, and then writes them.
    fn batch<S: Float>(
        &self,
        tile: &mut [Vector<S, N>],
        pixels: &Sequence<u32>,
        own: &Own,
        #[comptime] turns: Turns,
        #[comptime] staging: Staging,
    ) {
        let size = N::value();
        let (begin, count, whole) = comptime!((turns.begin, turns.count, turns.whole));
        let (pitch, step) = comptime!((staging.pitch() / size, staging.units / (staging.depth / size)));
        let all = comptime!((staging.width * staging.height) as u32);
        let vector = own.vector as usize;
        let none = Vector::<f32, N>::new(0.0f32);
        let mut reads = Sequence::<Vector<E, N>>::new();
        #[unroll]
        for turn in 0..count {
            let pixel = *pixels.index(comptime!(begin + turn));
            let inside = own.exists && pixel != OUTSIDE;
            reads.push(self.map[select(inside, pixel, 0u32) as usize * self.vectors as usize + vector]);
        }
        let to = own.pixel as usize * pitch + own.column as usize;
        #[unroll]
        for turn in 0..count {
            let inside = own.exists && *pixels.index(comptime!(begin + turn)) != OUTSIDE;
            let read = Vector::<f32, N>::cast_from(*reads.index(turn));
            #[comptime]
            let value = match &self.norm {
                ComptimeOption::Some(norm) => norm.of(own.image as usize, vector, self.vectors as usize).apply(read),
                ComptimeOption::None => read,
            };
            let value = Vector::<S, N>::cast_from(select(inside, value, none));
            if comptime!(turn < whole) || own.pixel + comptime!((turn * step) as u32) < all {
                tile[to + comptime!(turn * step * pitch)] = value;
            }
        }
    }
}
