//! Which channel vector each unit of an element-wise kernel works on.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;

use super::nhwc::Nhwc;

/// One unit per channel vector of each pixel of a map.
#[derive(CubeType, CubeLaunch)]
pub(super) struct MapUnits {
    pub count: usize,
    vectors: FastDivmod<usize>,
    pixels: FastDivmod<usize>,
    /// Channel vectors per pixel.
    pub own: usize,
    /// Pixels per image.
    pub per_image: usize,
}

/// A unit's position in a map.
#[derive(CubeType)]
pub(super) struct MapPlace {
    pub image: usize,
    /// The pixel within the image.
    pub pixel: usize,
    /// The vector within the pixel.
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

/// How many units a map needs, and the argument from which they find their positions.
pub(super) fn map_units(map: &Nhwc, vector_size: usize) -> (usize, MapUnitsLaunch) {
    let vectors = map.channels / vector_size;
    let count = map.batch * map.pixels() * vectors;
    let pixels = map.pixels();
    (count, MapUnitsLaunch { count, vectors, pixels, own: vectors, per_image: pixels })
}
