//! The convolution and its input gradient on matrix units: one cube per tile of output pixels and block of output channels.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::cmma;
use burn_cubecl::cubecl::cmma::{MatrixIdent, MatrixLayout};
use burn_cubecl::cubecl::prelude::*;

use super::form::Form;
use super::output::{Output, Place, finish};
use super::source::{Halo, Source};

/// The weights of a convolution as matrix units read them, `[taps, inputs, padded outputs]` in the type of the maps.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Weights<E: Float, W: Size> {
    pub packed: OwnedTensor<Vector<E, W>>,
    pub inputs: u32,
    /// Vectors per row.
    pub vectors: u32,
}

#[cube]
impl<E: Float, W: Size> Weights<E, W> {
    /// Writes the weights of some input and output channels, of all taps from `first` on, to shared memory. What lies beyond the last channel is
    /// some other weight: it is multiplied by zero, or its product is not stored.
    fn load<S: Float>(&self, stage: &mut [Vector<S, W>], first: u32, input: u32, output: u32, #[comptime] form: Form) {
        let size = W::value();
        let across = comptime!((form.weight_columns() / size) as u32);
        let down = comptime!((form.weight_rows() / form.taps()) as u32);
        let pitch = comptime!(form.weight_pitch() / size);
        let count = comptime!(form.weight_rows() as u32 * across);
        let turns = comptime!((count as usize).div_ceil(form.units()));
        // Rows from one turn to the next. A unit has the same column in each.
        let step = comptime!(form.units() as u32 / across);
        let (own, column) = (UNIT_POS / across, UNIT_POS % across);
        let vector = output / comptime!(size as u32) + column;
        let vector = select(vector < self.vectors, vector, self.vectors - 1);
        let to = own as usize * pitch + column as usize;
        #[unroll]
        for turn in 0..turns {
            let row = comptime!(turn as u32 * step);
            let (tap, channel) = if comptime!(down.is_multiple_of(step)) {
                (first + comptime!(row / down), input + own + comptime!(row % down))
            } else {
                let row = own + row;
                (first + row / down, input + row % down)
            };
            let channel = select(channel < self.inputs, channel, self.inputs - 1);
            let from = ((tap * self.inputs + channel) * self.vectors + vector) as usize;
            let to = to + comptime!(row as usize * pitch);
            if comptime!((turn + 1) * form.units() <= count as usize) || own < comptime!(count / across - row) {
                stage[to] = Vector::cast_from(self.packed[from]);
            }
        }
    }
}

/// A convolution over its inputs' channels in turn. `before` is the first input channel that the weights' rows start at.
#[cube(launch, address_type = "dynamic")]
pub(super) fn convolve_kernel<E: Float, S: Float, N: Size, W: Size, O: Size>(
    sources: &Sequence<Source<E, N>>,
    weights: &Weights<E, W>,
    output: &mut Output<E, O>,
    height: u32,
    width: u32,
    before: u32,
    #[comptime] form: Form,
    #[define(E)] _dtype: ElemType,
    #[define(S)] _multiplied: ElemType,
) {
    let unit = comptime!(form.unit);
    let (m, n, k) = comptime!((unit.rows, unit.columns, unit.depth));
    let (size, weight_size) = (N::value(), W::value());
    let tile_length = comptime!(form.staging().length() / size);
    let mut tile = Shared::<[Vector<S, N>]>::new_aligned_slice(tile_length, 32usize);
    let stage_length = comptime!(form.weight_rows() * form.weight_pitch() / weight_size);
    let mut stage = Shared::<[Vector<S, W>]>::new_aligned_slice(stage_length, 32usize);

    let plane = UNIT_POS / comptime!(form.plane as u32);
    let down = (plane % comptime!(form.tile.down as u32)) as usize;
    let across = (plane / comptime!(form.tile.down as u32)) as usize;
    let left = CUBE_POS_X * m as u32;
    let top = CUBE_POS_Y * comptime!(form.height() as u32);
    let image = CUBE_POS_Z / output.blocks;
    // A scattered output has as many blocks for each tap.
    let each = output.blocks / comptime!((form.factor() * form.factor()) as u32);
    let block = CUBE_POS_Z % output.blocks;
    let tap = block / each;
    let first = block % each * comptime!(form.outputs() as u32);
    let halo = Halo {
        image,
        top: top * comptime!(form.stride as u32) - comptime!(form.padding() as u32),
        left: left * comptime!(form.stride as u32) - comptime!(form.padding() as u32),
        height,
        width,
    };

    let mut sums = Sequence::<cmma::Matrix<f32>>::new();
    #[unroll]
    for _ in 0..comptime!(form.tile.rows * form.tile.blocks) {
        sums.push(cmma::Matrix::<f32>::from_value(MatrixIdent::Accumulator, m, n, k, MatrixLayout::Undefined, 0.0));
    }

    let pixels = halo.pixels(comptime!(form.depth() / size), comptime!(form.staging()));
    let mut start = before;
    #[unroll]
    for index in 0..sources.len() {
        let source = sources.index(index);
        let channels = source.vectors * comptime!(size as u32);
        for channel in range_stepped(0u32, channels, comptime!(form.depth() as u32)) {
            if comptime!(form.transposed) {
                weights.load::<S>(&mut stage, tap, start + first, channel, form);
            } else {
                weights.load::<S>(&mut stage, tap, start + channel, first, form);
            }
            source.load::<S>(&mut tile, &halo, &pixels, channel / comptime!(size as u32), comptime!(form.staging()));
            sync_cube();
            multiply::<S, N, W>(&tile, &stage, &sums, down, across, form);
            sync_cube();
        }
        if comptime!(!form.transposed) {
            start += channels;
        }
    }
    let place = Place { image, top, left, first, tap };
    finish::<E, O>(&sums, output, &place, form);
}

/// Adds the products of what is in shared memory to a plane's sums.
#[cube]
fn multiply<S: Float, N: Size, W: Size>(
    tile: &[Vector<S, N>],
    stage: &[Vector<S, W>],
    sums: &Sequence<cmma::Matrix<f32>>,
    down: usize,
    across: usize,
    #[comptime] form: Form,
) {
    let (m, n, k) = comptime!((form.unit.rows, form.unit.columns, form.unit.depth));
    let (size, weight_size) = (N::value(), W::value());
    let (rows, blocks) = comptime!((form.tile.rows, form.tile.blocks));
    let (width, pitch) = comptime!((form.staging().width, form.staging().pitch()));
    let zero = S::from_int(0);
    let layout = comptime!(if form.transposed { MatrixLayout::ColMajor } else { MatrixLayout::RowMajor });
    #[unroll]
    for step in 0..comptime!(form.tile.steps) {
        // Rows of the kernel are a loop, so that the code stays small; its columns are not.
        for y in 0..comptime!(form.size) {
            #[unroll]
            for x in 0..comptime!(form.size) {
                let mut lefts = Sequence::<cmma::Matrix<S>>::new();
                #[unroll]
                for row in 0..rows {
                    let line = (down * rows + row) * comptime!(form.stride) + y * comptime!(form.dilation);
                    let pixel = line * width + comptime!(x * form.dilation);
                    let at = (pixel * pitch + comptime!(step * k)) / size;
                    let mut left = cmma::Matrix::<S>::from_value(MatrixIdent::A, m, n, k, MatrixLayout::RowMajor, zero);
                    cmma::load(&mut left, &tile[at..tile.len()], comptime!((pitch * form.stride) as u32));
                    lefts.push(left);
                }
                let tap = y * comptime!(form.size) + x;
                #[unroll]
                for block in 0..blocks {
                    let column = (across * blocks + block) * n;
                    let at = if comptime!(form.transposed) {
                        let tap = comptime!(form.taps() - 1) - tap;
                        (tap * comptime!(form.outputs()) + column) * comptime!(form.weight_pitch()) + comptime!(step * k)
                    } else {
                        (tap * comptime!(form.depth()) + comptime!(step * k)) * comptime!(form.weight_pitch()) + column
                    };
                    let at = at / weight_size;
                    let mut right = cmma::Matrix::<S>::from_value(MatrixIdent::B, m, n, k, layout, zero);
                    cmma::load(&mut right, &stage[at..stage.len()], comptime!(form.weight_pitch() as u32));
                    #[unroll]
                    for row in 0..rows {
                        let sum = sums.index(comptime!(row * blocks + block));
                        cmma::execute(lefts.index(row), &right, sum, sum);
                    }
                }
            }
        }
    }
}
