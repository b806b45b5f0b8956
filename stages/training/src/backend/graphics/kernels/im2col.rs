//! Writes out layers' inputs with norm and activation applied: maps side by side along channels, one pixel at a time or with its
//! neighbours in the same row (im2col along rows).

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use burn_cubecl::cubecl::zspace::Shape;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::nhwc::{addresses, spread, stored};
use super::normed::{Norm, Operand};

/// The pixels that are written: a window of each image, surrounded by zeros.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// The window's first row, counted from `margin` rows above the image.
    pub first: usize,
    /// Columns and rows of zeros around the image that windows may reach into.
    pub margin: usize,
    pub rows: usize,
    pub columns: usize,
    /// Pixels that are written side by side for each column, starting `margin` columns to its left.
    pub taps: usize,
}

/// The same for one of the maps, in a kernel: one unit per channel vector of each tap.
#[derive(CubeType, CubeLaunch)]
struct Taps {
    units: usize,
    vectors: FastDivmod<usize>,
    taps: FastDivmod<usize>,
    columns: FastDivmod<usize>,
    rows: FastDivmod<usize>,
    /// Vectors per pixel of this map.
    own: usize,
    /// Height of the map.
    height: usize,
    /// Width of the map.
    width: usize,
    /// The window's first row.
    first: usize,
    /// Vectors per pixel of the maps before this one.
    before: usize,
    /// Vectors per pixel of all maps together.
    all: usize,
    #[cube(comptime)]
    margin: usize,
}

/// What one unit writes.
#[derive(CubeType)]
struct Tap {
    /// Whether it is a pixel of the map; if not, zero is written.
    inside: bool,
    image: usize,
    vector: usize,
    from: usize,
    to: usize,
}

#[cube]
impl Taps {
    fn tap(&self, unit: usize) -> Tap {
        let margin = comptime!(self.margin);
        let (place, vector) = self.vectors.div_mod(unit);
        let (at, tap) = self.taps.div_mod(place);
        let (above, column) = self.columns.div_mod(at);
        let (image, row) = self.rows.div_mod(above);
        let (y, x) = (self.first + row, column + tap);
        let inside = y >= margin && y < self.height + margin && x >= margin && x < self.width + margin;
        let mut from = 0;
        if inside {
            from = ((image * self.height + y - margin) * self.width + x - margin) * self.own + vector;
        }
        Tap { inside, image, vector, from, to: place * self.all + self.before + vector }
    }
}

#[cube(launch, address_type = "dynamic")]
fn normed_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    norm: &Norm<N>,
    output: &mut Tensor<Vector<E, N>>,
    taps: &Taps,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= taps.units {
        terminate!();
    }
    let tap = taps.tap(ABSOLUTE_POS);
    let mut value = Vector::<f32, N>::new(0.0f32);
    if tap.inside {
        let norm = norm.of(tap.image, tap.vector, taps.own);
        value = norm.apply(Vector::cast_from(x[tap.from]));
    }
    output[tap.to] = Vector::cast_from(value);
}

#[cube(launch, address_type = "dynamic")]
fn plain_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    output: &mut Tensor<Vector<E, N>>,
    taps: &Taps,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= taps.units {
        terminate!();
    }
    let tap = taps.tap(ABSOLUTE_POS);
    let mut value = Vector::<E, N>::new(E::from_int(0));
    if tap.inside {
        value = x[tap.from];
    }
    output[tap.to] = value;
}

/// Writes out a window of the inputs, with their channels in order: `[batch * rows, columns, taps * channels]`.
pub(super) fn im2col(inputs: &[Operand], window: Window) -> Result<CubeTensor> {
    let like = inputs.first().map(Operand::map).ok_or_else(|| StageError::new("a layer without inputs"))?;
    let counts: Vec<usize> = inputs.iter().map(|input| input.map().channels).collect();
    let (vector_size, channels) = (like.vector_size(&counts), counts.iter().sum::<usize>());
    let (batch, like) = (like.batch, &like.tensor);
    let Window { rows, columns, taps, .. } = window;
    let shape = Shape::new([batch * rows, columns, taps * channels]);
    let output = empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, like.dtype);
    let (client, dtype, addresses) = (like.client.clone(), stored(like), addresses(&[like, &output]));
    let mut before = 0;
    for input in inputs {
        let map = input.map();
        let own = map.channels / vector_size;
        let units = batch * rows * columns * taps * own;
        let (count, dim) = spread(like, units);
        let (x, to) = (map.tensor.clone().into_tensor_arg(), output.clone().into_tensor_arg());
        let taps = TapsLaunch {
            units,
            vectors: own,
            taps,
            columns,
            rows,
            own,
            height: map.height,
            width: map.width,
            first: window.first,
            before,
            all: channels / vector_size,
            margin: window.margin,
        };
        match input {
            Operand::Normed(normed) => {
                normed_kernel::launch(&client, count, dim, addresses, vector_size, x, normed.norm.arg(), to, taps, dtype);
            }
            Operand::Plain(_) => plain_kernel::launch(&client, count, dim, addresses, vector_size, x, to, taps, dtype),
        }
        before += own;
    }
    Ok(output)
}
