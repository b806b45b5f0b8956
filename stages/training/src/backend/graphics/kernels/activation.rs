//! Norm and ReLU on the way into a layer, and maps side by side in frames.

use burn::tensor::Shape;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;

use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::lines::{Lines, Values, addresses, rows, spread, stored, tensor};
use super::normed::Normed;
use super::normed::{Parts, Read};

/// A value by its norm.
#[cube]
pub(super) fn normal<N: Size>(x: Vector<f32, N>, mean: Vector<f32, N>, inverse: Vector<f32, N>) -> Vector<f32, N> {
    (x - mean) * inverse
}

/// `y = normal * scale + shift`, or `slope * y` where that isn't positive; what isn't a number stays so.
#[cube]
pub(super) fn activation<N: Size>(
    normal: Vector<f32, N>,
    scale: Vector<f32, N>,
    shift: Vector<f32, N>,
    slope: f32,
) -> Vector<f32, N> {
    let y = normal * scale + shift;
    let zero = Vector::new(0.0f32);
    select_many(y.less_equal(&zero), y * Vector::new(slope), y)
}

/// Which pixels of a map are written where: rows from one on, each pixel as it is or with its neighbours in the row side by side. What lies
/// outside of the map is zero.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// The map's row that comes first, less `margin`.
    pub first: usize,
    /// Pixels of zeros around the map that belong to it.
    pub margin: usize,
    /// Rows of an image that are written.
    pub rows: usize,
    /// Columns of an image that are written.
    pub columns: usize,
    /// How many neighbours, from the pixel's own column less `margin` on, stand for a pixel.
    pub taps: usize,
}

/// What a unit of a frame is to write: the pixel of the map, whether there is one, the image, the line of channels, and where.
#[cube]
fn source(
    unit: usize,
    lines: &FastDivmod<usize>,
    taps: &FastDivmod<usize>,
    columns: &FastDivmod<usize>,
    rows: &FastDivmod<usize>,
    height: usize,
    width: usize,
    first: usize,
    before: usize,
    all: usize,
    #[comptime] margin: usize,
) -> (bool, usize, usize, usize, usize) {
    let (place, line) = lines.div_mod(unit);
    let (at, tap) = taps.div_mod(place);
    let (above, column) = columns.div_mod(at);
    let (image, row) = rows.div_mod(above);
    let (y, x) = (first + row, column + tap);
    let is = y >= margin && y < height + margin && x >= margin && x < width + margin;
    let mut pixel = 0;
    if is {
        pixel = (image * height + y - margin) * width + x - margin;
    }
    (is, pixel, image, line, place * all + before + line)
}

/// A unit for each line of channels of each neighbour of each pixel of the frame.
#[cube(launch, address_type = "dynamic")]
fn activate_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    taps: FastDivmod<usize>,
    columns: FastDivmod<usize>,
    rows: FastDivmod<usize>,
    own: usize,
    height: usize,
    width: usize,
    first: usize,
    before: usize,
    all: usize,
    slope: f32,
    #[comptime] margin: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (is, pixel, image, line, to) =
        source(ABSOLUTE_POS, &lines, &taps, &columns, &rows, height, width, first, before, all, margin);
    let mut value = Vector::<f32, N>::new(0.0f32);
    if is {
        let at = image * own + line;
        let n = normal::<N>(Vector::cast_from(x[pixel * own + line]), mean[at], inverse[at]);
        value = activation::<N>(n, scale[line], shift[line], slope);
    }
    output[to] = Vector::cast_from(value);
}

#[cube(launch, address_type = "dynamic")]
fn place_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    output: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    taps: FastDivmod<usize>,
    columns: FastDivmod<usize>,
    rows: FastDivmod<usize>,
    own: usize,
    height: usize,
    width: usize,
    first: usize,
    before: usize,
    all: usize,
    #[comptime] margin: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (is, pixel, _, line, to) =
        source(ABSOLUTE_POS, &lines, &taps, &columns, &rows, height, width, first, before, all, margin);
    let mut value = Vector::<E, N>::new(E::from_int(0));
    if is {
        value = x[pixel * own + line];
    }
    output[to] = value;
}

/// An input of a layer, as the kernels take it.
#[expect(clippy::large_enum_variant, reason = "some at a time, for the length of a call")]
#[derive(Clone)]
pub(super) enum Part {
    Normed(Parts),
    Plain(Lines),
}

impl Part {
    pub fn of(read: Read) -> Result<Self> {
        match read {
            Read::Normed(normed) => normed.parts().map(Self::Normed),
            Read::Plain(map) => Lines::of(map).map(Self::Plain),
        }
    }

    pub fn map(&self) -> &Lines {
        match self {
            Self::Normed(parts) => &parts.map,
            Self::Plain(map) => map,
        }
    }

    /// Of some of the images.
    pub fn images(&self, from: usize, count: usize) -> Self {
        match self {
            Self::Normed(parts) => Self::Normed(Parts {
                map: parts.map.images(from, count),
                mean: rows(&parts.mean, from, count),
                inverse: rows(&parts.inverse, from, count),
                scale: parts.scale.clone(),
                shift: parts.shift.clone(),
                slope: parts.slope,
            }),
            Self::Plain(map) => Self::Plain(map.images(from, count)),
        }
    }
}

/// Maps side by side in a frame, their channels in order: each as it is, or through its norm and ReLU.
/// `[batch * rows, columns, taps * channels]`.
pub(super) fn framed(parts: &[Part], frame: Frame) -> Result<CubeTensor> {
    let like = parts.first().map(Part::map).ok_or_else(|| StageError::new("a layer without inputs"))?;
    let counts: Vec<usize> = parts.iter().map(|part| part.map().channels).collect();
    let (vector, channels) = (like.vector(&counts), counts.iter().sum::<usize>());
    let (batch, like) = (like.batch, &like.tensor);
    let Frame { first, margin, rows, columns, taps } = frame;
    let shape = Shape::new([batch * rows, columns, taps * channels]);
    let output = empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, like.dtype);
    let (client, dtype, addresses) = (like.client.clone(), stored(like), addresses(&[like, &output]));
    let mut before = 0;
    for part in parts {
        let map = part.map();
        let own = map.channels / vector;
        let units = batch * rows * columns * taps * own;
        let (count, dim) = spread(like, units);
        let (x, to) = (map.tensor.clone().into_tensor_arg(), output.clone().into_tensor_arg());
        match part {
            Part::Normed(parts) => activate_kernel::launch(
                &client,
                count,
                dim,
                addresses,
                vector,
                x,
                parts.mean.clone().into_tensor_arg(),
                parts.inverse.clone().into_tensor_arg(),
                parts.scale.clone().into_tensor_arg(),
                parts.shift.clone().into_tensor_arg(),
                to,
                units,
                own,
                taps,
                columns,
                rows,
                own,
                map.height,
                map.width,
                first,
                before,
                channels / vector,
                parts.slope,
                margin,
                dtype,
            ),
            Part::Plain(_) => place_kernel::launch(
                &client,
                count,
                dim,
                addresses,
                vector,
                x,
                to,
                units,
                own,
                taps,
                columns,
                rows,
                own,
                map.height,
                map.width,
                first,
                before,
                channels / vector,
                margin,
                dtype,
            ),
        }
        before += own;
    }
    Ok(output)
}

/// A map through its norm and ReLU: `[batch, channels, height, width]`.
pub(in super::super) fn activate(normed: Normed) -> Result<Values<4>> {
    let parts = normed.parts()?;
    let [batch, height, width, channels] = parts.map.dims();
    let frame = Frame { first: 0, margin: 0, rows: height, columns: width, taps: 1 };
    let made = tensor::<3>(framed(&[Part::Normed(parts)], frame)?);
    Ok(made.reshape([batch, height, width, channels]).permute([0, 3, 1, 2]))
}
