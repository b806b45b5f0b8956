//! The gradient of a convolution's weights: products of the input and the upstream gradient, summed over pixels. The pixels are
//! divided among cubes and units in a fixed way, and their sums are added up in a fixed order, so the same device always computes
//! the same bits.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::super::gradient::Tiles;
use super::super::source::{Halo, Source};
use super::form::WeightForm;

/// The sums of each cube and each of its parts, `[splits, taps, padded inputs, padded outputs]`: a split is a part of a cube with
/// some `CUBE_POS_X`.
#[cube(launch, address_type = "dynamic")]
pub(super) fn convolve_weight_kernel<E: Float, N: Size, U: Size>(
    source: &Source<E, N>,
    upstream: &Source<E, U>,
    sums: &mut Tensor<Vector<f32, U>>,
    tiles: &Tiles,
    height: u32,
    width: u32,
    #[comptime] form: WeightForm,
    #[define(E)] _dtype: ElemType,
) {
    let (input, gradient) = comptime!((form.input(), form.upstream()));
    let mut tile = Shared::<[Vector<f32, N>]>::new_slice(comptime!(input.length() / form.read));
    let mut up = Shared::<[Vector<f32, U>]>::new_slice(comptime!(gradient.length() / form.upstream_read));

    let right = UNIT_POS % comptime!(form.across as u32);
    let above = UNIT_POS / comptime!(form.across as u32);
    let left = above % comptime!(form.down as u32);
    let above = above / comptime!(form.down as u32);
    let row = above % comptime!(form.size as u32);
    let part = above / comptime!(form.size as u32);
    let first = CUBE_POS_Y * comptime!(form.inputs() as u32);
    let last = CUBE_POS_Z * comptime!(form.outputs() as u32);

    let count = comptime!(form.size * form.vectors * form.read * form.upstream_vectors);
    let mut made = Array::<Vector<f32, U>>::new(count);
    #[unroll]
    for at in 0..count {
        made[at] = Vector::new(0.0f32);
    }
    for at in range_stepped(CUBE_POS_X, tiles.count, CUBE_COUNT_X) {
        let x = (at % tiles.across) * comptime!(form.width as u32);
        let y = ((at / tiles.across) % tiles.down) * comptime!(form.height as u32);
        let image = at / (tiles.across * tiles.down);
        let halo = Halo {
            image,
            top: y * comptime!(form.stride as u32) - comptime!(form.padding() as u32),
            left: x * comptime!(form.stride as u32) - comptime!(form.padding() as u32),
            height,
            width,
        };
        let pixels = halo.pixels(comptime!(input.depth / form.read), input);
        source.load::<f32>(&mut tile, &halo, &pixels, first / comptime!(form.read as u32), input);
        let place = Halo { image, top: y, left: x, height: tiles.height, width: tiles.width };
        let pixels = place.pixels(comptime!(gradient.depth / form.upstream_read), gradient);
        upstream.load::<f32>(&mut up, &place, &pixels, last / comptime!(form.upstream_read as u32), gradient);
        sync_cube();
        for y in range_stepped(part, comptime!(form.height as u32), comptime!(form.parts as u32)) {
            let read = (y * comptime!(form.stride as u32) + row * comptime!(form.dilation as u32)) as usize;
            let from = read * comptime!(input.width * input.pitch() / form.read) + left as usize;
            let up_from = y as usize * comptime!(gradient.width * gradient.pitch() / form.upstream_read) + right as usize;
            for segment in 0..comptime!(form.width / form.segment) {
                let from = from + segment * comptime!(form.segment * form.stride * input.pitch() / form.read);
                let up_from = up_from + segment * comptime!(form.segment * gradient.pitch() / form.upstream_read);
                multiply::<N, U>(&tile, &up, &mut made, from, up_from, form);
            }
        }
        sync_cube();
    }
    let inputs = CUBE_COUNT_Y * comptime!(form.inputs() as u32);
    let outputs = CUBE_COUNT_Z * comptime!((form.outputs() / form.upstream_read) as u32);
    let split = CUBE_POS_X * comptime!(form.parts as u32) + part;
    let begin = (split * comptime!(form.size as u32) + row) * comptime!(form.size as u32);
    let last = last / comptime!(form.upstream_read as u32) + right;
    #[unroll]
    for at in 0..count {
        let block = comptime!(at % form.upstream_vectors);
        let lane = comptime!(at / form.upstream_vectors % form.read);
        let vector = comptime!(at / form.upstream_vectors / form.read % form.vectors);
        let column = comptime!((at / form.upstream_vectors / form.read / form.vectors) as u32);
        let channel = (left + comptime!((vector * form.down) as u32)) * comptime!(form.read as u32) + lane as u32;
        let to = ((begin + column) * inputs + first + channel) as usize * outputs as usize;
        sums[to + (last + comptime!((block * form.across) as u32)) as usize] = made[at];
    }
}

/// Adds the products of a segment of neighbouring pixels to a unit's sums
/// `[columns of the kernel, input vectors, channels, output vectors]`.
#[cube]
fn multiply<N: Size, U: Size>(
    tile: &[Vector<f32, N>],
    up: &[Vector<f32, U>],
    made: &mut Array<Vector<f32, U>>,
    from: usize,
    up_from: usize,
    #[comptime] form: WeightForm,
) {
    let (vectors, blocks, size) = comptime!((form.vectors, form.upstream_vectors, form.read));
    let mut line = Array::<Vector<f32, N>>::new(comptime!(form.line() * vectors));
    #[unroll]
    for at in 0..comptime!(form.line() * vectors) {
        let place = comptime!(at / vectors * form.input().pitch() / size + at % vectors * form.down);
        line[at] = tile[from + place];
    }
    #[unroll]
    for pixel in 0..comptime!(form.segment) {
        #[unroll]
        for block in 0..blocks {
            let place = comptime!(pixel * form.upstream().pitch() / form.upstream_read + block * form.across);
            let right = up[up_from + place];
            #[unroll]
            for at in 0..comptime!(form.size * vectors * size) {
                let column = comptime!(at / size / vectors);
                let place = comptime!((pixel * form.stride + column * form.dilation) * vectors + at / size % vectors);
                let left = Vector::new(line[place].extract(comptime!(at % size)));
                let sum = comptime!(at * blocks + block);
                made[sum] = fma(left, right, made[sum]);
            }
        }
    }
}
