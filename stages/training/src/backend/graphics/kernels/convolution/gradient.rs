//! The gradient of a convolution's weights on matrix units: products of the input and the upstream gradient over pixels, summed in
//! float32. The pixels are divided among cubes in a fixed way, and the cubes' sums are added up in a fixed order, so the same
//! device always computes the same bits.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::cmma;
use burn_cubecl::cubecl::cmma::{MatrixIdent, MatrixLayout};
use burn_cubecl::cubecl::prelude::*;

use super::form::WeightForm;
use super::source::{Halo, Source};

/// The tiles of an upstream gradient.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Tiles {
    pub height: u32,
    pub width: u32,
    /// Tiles per row of tiles.
    pub across: u32,
    /// Rows of tiles per image.
    pub down: u32,
    /// Tiles of all images.
    pub count: u32,
}

/// One cube's sums, `[splits, taps, padded inputs, padded outputs]`: `CUBE_POS_X` is the split.
#[cube(launch, address_type = "dynamic")]
pub(super) fn convolve_weight_kernel<E: Float, S: Float, N: Size, U: Size>(
    source: &Source<E, N>,
    upstream: &Source<E, U>,
    sums: &mut Tensor<f32>,
    tiles: &Tiles,
    height: u32,
    width: u32,
    #[comptime] form: WeightForm,
    #[define(E)] _dtype: ElemType,
    #[define(S)] _multiplied: ElemType,
) {
    let (m, n, k) = comptime!((form.unit.rows, form.unit.columns, form.unit.depth));
    let (size, upstream_size) = (N::value(), U::value());
    let (input, gradient) = comptime!((form.input(), form.upstream()));
    let (taps, blocks) = comptime!((form.taps(), form.blocks));
    let mut tile = Shared::<[Vector<S, N>]>::new_aligned_slice(comptime!(input.length() / size), 32usize);
    let mut up = Shared::<[Vector<S, U>]>::new_aligned_slice(comptime!(gradient.length() / upstream_size), 32usize);

    let plane = (UNIT_POS / comptime!(form.plane as u32)) as usize;
    let down = plane % comptime!(form.down);
    let across = plane / comptime!(form.down);
    let first = CUBE_POS_Y * comptime!(form.inputs() as u32);
    let last = CUBE_POS_Z * comptime!(form.outputs() as u32);
    let zero = S::from_int(0);

    let mut made = Sequence::<cmma::Matrix<f32>>::new();
    #[unroll]
    for _ in 0..comptime!(taps * blocks) {
        made.push(cmma::Matrix::<f32>::from_value(MatrixIdent::Accumulator, m, n, k, MatrixLayout::Undefined, 0.0));
    }
    for at in range_stepped(CUBE_POS_X, tiles.count, CUBE_COUNT_X) {
        let left = (at % tiles.across) * comptime!(form.width() as u32);
        let top = ((at / tiles.across) % tiles.down) * comptime!(form.rows as u32);
        let image = at / (tiles.across * tiles.down);
        let halo = Halo {
            image,
            top: top * comptime!(form.stride as u32) - comptime!(form.padding() as u32),
            left: left * comptime!(form.stride as u32) - comptime!(form.padding() as u32),
            height,
            width,
        };
        let pixels = halo.pixels(comptime!(input.depth / size), input);
        source.load::<S>(&mut tile, &halo, &pixels, first / comptime!(size as u32), input);
        let place = Halo { image, top, left, height: tiles.height, width: tiles.width };
        let pixels = place.pixels(comptime!(gradient.depth / upstream_size), gradient);
        upstream.load::<S>(&mut up, &place, &pixels, last / comptime!(upstream_size as u32), gradient);
        sync_cube();
        for row in 0..comptime!(form.rows) {
            #[unroll]
            for step in 0..comptime!(form.steps) {
                let mut rights = Sequence::<cmma::Matrix<S>>::new();
                #[unroll]
                for block in 0..blocks {
                    let column = (across * blocks + block) * n;
                    let pixel = row * comptime!(form.width()) + comptime!(step * k);
                    let at = (pixel * comptime!(gradient.pitch()) + column) / upstream_size;
                    let mut right = cmma::Matrix::<S>::from_value(MatrixIdent::B, m, n, k, MatrixLayout::RowMajor, zero);
                    cmma::load(&mut right, &up[at..up.len()], comptime!(gradient.pitch() as u32));
                    rights.push(right);
                }
                #[unroll]
                for tap in 0..taps {
                    let (y, x) = comptime!((tap / form.size * form.dilation, tap % form.size * form.dilation));
                    let pixel =
                        (row * comptime!(form.stride) + y) * comptime!(input.width) + comptime!(step * k * form.stride + x);
                    let at = (pixel * comptime!(input.pitch()) + down * m) / size;
                    let mut left = cmma::Matrix::<S>::from_value(MatrixIdent::A, m, n, k, MatrixLayout::ColMajor, zero);
                    cmma::load(&mut left, &tile[at..tile.len()], comptime!((input.pitch() * form.stride) as u32));
                    #[unroll]
                    for block in 0..blocks {
                        let sum = made.index(comptime!(tap * blocks + block));
                        cmma::execute(&left, rights.index(block), sum, sum);
                    }
                }
            }
        }
        sync_cube();
    }
    let inputs = CUBE_COUNT_Y * comptime!(form.inputs() as u32);
    let outputs = CUBE_COUNT_Z * comptime!(form.outputs() as u32);
    #[unroll]
    for tap in 0..taps {
        #[unroll]
        for block in 0..blocks {
            let channel = (CUBE_POS_X * comptime!(taps as u32) + tap as u32) * inputs + first + (down * m) as u32;
            let column = last + ((across * blocks + block) * n) as u32;
            let at = channel as usize * outputs as usize + column as usize;
            let end = sums.len();
            let sum = made.index(comptime!(tap * blocks + block));
            cmma::store(&mut sums[at..end], sum, outputs, MatrixLayout::RowMajor);
        }
    }
}
