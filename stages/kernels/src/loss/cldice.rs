//! The centreline Dice term. Both skeletons are made tile by tile, with a margin as wide as the erosions reach, so that the
//! memory they take doesn't grow with the image.

use super::pixel::{Pixel, share};
use super::skeleton::{Adjoint, SKELETON_PLANES, Skeleton};
use super::slopes::Slopes;
use super::tiles::{self, Tile};
use crate::Area;
use crate::dispatch::widest;
use crate::rows::{sum, sum_of_pairs};

/// Added to numerator and denominator of precision and sensitivity, as in the authors' code.
const SMOOTH: f64 = 1.0;

/// How far a pixel of a skeleton sees, in pixels.
fn reach(iterations: usize) -> usize {
    iterations + 2
}

/// Memory per thread, in values.
fn memory(iterations: usize, area: Area) -> usize {
    tiles::largest(2 * reach(iterations), area).adjoint(iterations)
}

/// Number of workspace values.
pub(super) fn workspace(iterations: usize, area: Area) -> usize {
    2 * area.pixels() + tiles::workers(area) * memory(iterations, area)
}

/// A sample's sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClDice {
    iterations: usize,
    area: Area,
    /// `sum(skel(y)) + 1`, and the fraction of it that is predicted.
    mask: f64,
    sensitivity: f64,
    /// `sum(skel(p)) + 1`, and the fraction of it that lies in the mask.
    predicted: f64,
    precision: f64,
}

impl ClDice {
    /// Leaves a map in the workspace: each pixel's probability, and its share of the mask's skeleton.
    pub fn measure(iterations: usize, z: &[f32], y: &[u8], area: Area, workspace: &mut [f32]) -> Self {
        let (width, size) = (area.width, memory(iterations, area));
        let (map, memory) = workspace.split_at_mut(2 * area.pixels());
        let map = map.as_chunks_mut::<2>().0;
        let [mask, hit] = tiles::each(map, area, (&mut *memory, size), |band, map, memory| {
            let mut sums = [0.0; 2];
            for tile in Tile::of_band(band, area) {
                let outer = tile.grown(reach(iterations), area);
                let planes = &mut memory[..SKELETON_PLANES * outer.grid.plane()];
                outer.load(y, width, planes, share);
                let skeleton = skeleton(outer, iterations, planes);
                for row in 0..tile.grid.height {
                    let (place, skeleton) = (tile.row(row, width), &skeleton[tile.row_within(outer, row)]);
                    let map = &mut map[Tile { top: 0, ..tile }.row(row, width)];
                    let pixels = z[place.clone()].iter().zip(&y[place]).zip(skeleton);
                    for (map, ((&z, &y), &skeleton)) in map.iter_mut().zip(pixels) {
                        *map = [Pixel::new(z, y).p, skeleton];
                    }
                    sums[0] += sum(skeleton);
                    // Multiplied for all pixels, even by 0: minima and maxima may hide a NaN, but this product doesn't.
                    sums[1] += sum_of_pairs(skeleton, map, |skeleton, [p, _]| skeleton * p);
                }
            }
            sums
        });
        let (map, mut nothing) = (&*map, vec![(); area.pixels()]);
        let [predicted, right] = tiles::each(&mut nothing, area, (memory, size), |band, _, memory| {
            let mut sums = [0.0; 2];
            for tile in Tile::of_band(band, area) {
                let outer = tile.grown(reach(iterations), area);
                let planes = &mut memory[..SKELETON_PLANES * outer.grid.plane()];
                outer.load(map, width, planes, |[p, _]| p);
                let skeleton = skeleton(outer, iterations, planes);
                for row in 0..tile.grid.height {
                    let skeleton = &mut skeleton[tile.row_within(outer, row)];
                    sums[0] += sum(skeleton);
                    for (skeleton, y) in skeleton.iter_mut().zip(&y[tile.row(row, width)]) {
                        *skeleton *= share(*y);
                    }
                    sums[1] += sum(skeleton);
                }
            }
            sums
        });
        let (mask, predicted) = (mask + SMOOTH, predicted + SMOOTH);
        let (sensitivity, precision) = ((hit + SMOOTH) / mask, (right + SMOOTH) / predicted);
        Self { iterations, area, mask, sensitivity, predicted, precision }
    }

    pub fn value(&self) -> f64 {
        1.0 - 2.0 * self.precision * self.sensitivity / (self.precision + self.sensitivity)
    }

    /// Replaces the logits with the sample's gradient, to which this term contributes `scale` times its own. The workspace
    /// is as [`Self::measure`] left it.
    pub fn write(&self, slopes: &Slopes<'_>, z: &mut [f32], y: &[u8], scale: f64, workspace: &mut [f32]) {
        let &Self { iterations, area, .. } = self;
        let (width, size) = (area.width, memory(iterations, area));
        let both = self.precision + self.sensitivity;
        let by_precision = -2.0 * (self.sensitivity / both).powi(2) / self.predicted;
        let by_sensitivity = (scale * -2.0 * (self.precision / both).powi(2) / self.mask) as f32;
        let by_skeleton = |y: u8| (scale * by_precision * (f64::from(share(y)) - self.precision)) as f32;
        let (map, memory) = workspace.split_at_mut(2 * area.pixels());
        let map = map.as_chunks::<2>().0;
        tiles::each(z, area, (memory, size), |band, z, memory| {
            for tile in Tile::of_band(band, area) {
                let outer = tile.grown(2 * reach(iterations), area);
                let (grid, plane) = (outer.grid, outer.grid.plane());
                outer.load(map, width, memory, |[p, _]| p);
                let upstream = &mut memory[(iterations + 2) * plane..];
                outer.load(y, width, upstream, by_skeleton);
                widest(Adjoint { grid, iterations, memory });
                for row in 0..tile.grid.height {
                    let place = tile.row(row, width);
                    let extra = &mut memory[tile.row_within(outer, row)];
                    for (extra, [_, skeleton]) in extra.iter_mut().zip(&map[place.clone()]) {
                        *extra += by_sensitivity * skeleton;
                    }
                    slopes.write_with(&mut z[Tile { top: 0, ..tile }.row(row, width)], &y[place], extra);
                }
            }
            []
        });
    }
}

/// The skeleton of the plane at the start of `planes`.
fn skeleton(tile: Tile, iterations: usize, planes: &mut [f32]) -> &mut [f32] {
    widest(Skeleton { grid: tile.grid, iterations, planes });
    &mut planes[(SKELETON_PLANES - 1) * tile.grid.plane()..]
}
