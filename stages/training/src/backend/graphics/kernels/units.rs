//! Which vector of channels each unit of an element-wise kernel works on.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;

use super::nhwc::Nhwc;

/// A unit for each vector of channels of each pixel of a map.
#[derive(CubeType, CubeLaunch)]
pub(super) struct MapUnits {
    pub count: usize,
    vectors: FastDivmod<usize>,
    pixels: FastDivmod<usize>,
    /// Vectors of a pixel.
    pub own: usize,
    /// Pixels of an image.
    pub per_image: usize,
}

/// A unit's place in a map.
#[derive(CubeType)]
pub(super) struct MapPlace {
    pub image: usize,
    /// Of the image.
    pub pixel: usize,
    /// Of the pixel.
    pub vector: usize,
}

#[cube]
impl MapUnits {
    pub fn place(&self, unit: usize) -> MapPlace {
        let (above, vector) = self.vectors.div_mod(unit);
        let (image, pixel) = self.pixels.div_mod(above);
        MapPlace { image, pixel, vector }
    }
}

/// How many units a map takes, and the argument by which they find their places.
pub(super) fn map_units(map: &Nhwc, vector_size: usize) -> (usize, MapUnitsLaunch) {
    let vectors = map.channels / vector_size;
    let count = map.batch * map.pixels() * vectors;
    let pixels = map.pixels();
    (count, MapUnitsLaunch { count, vectors, pixels, own: vectors, per_image: pixels })
}
