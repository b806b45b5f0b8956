//! Pooling over windows of 2 x 2: norm, ReLU and maximum at once, and the way back without a list of indices.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::activation::{activation, normal};
use super::lines::{Lines, Values, addresses, spread, stored};
use super::normed::Normed;
use super::normed::Parts;

/// Where a unit of a pooled map works: its image, its line of channels, and the first value of its window.
#[cube]
fn window(
    unit: usize,
    lines: &FastDivmod<usize>,
    width: &FastDivmod<usize>,
    height: &FastDivmod<usize>,
    row: usize,
    rows: usize,
    own: usize,
) -> (usize, usize, usize) {
    let (pixel, line) = lines.div_mod(unit);
    let (above, x) = width.div_mod(pixel);
    let (image, y) = height.div_mod(above);
    (image, line, (image * rows + 2 * y) * row + 2 * x * own + line)
}

/// The four values of a window, through norm and ReLU.
#[allow(clippy::type_complexity, reason = "four of the same")]
#[cube]
fn read<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    first: usize,
    own: usize,
    row: usize,
    mean: Vector<f32, N>,
    inverse: Vector<f32, N>,
    scale: Vector<f32, N>,
    shift: Vector<f32, N>,
    slope: f32,
) -> (Vector<f32, N>, Vector<f32, N>, Vector<f32, N>, Vector<f32, N>) {
    let a = activation::<N>(normal::<N>(Vector::cast_from(x[first]), mean, inverse), scale, shift, slope);
    let b = activation::<N>(normal::<N>(Vector::cast_from(x[first + own]), mean, inverse), scale, shift, slope);
    let c = activation::<N>(normal::<N>(Vector::cast_from(x[first + row]), mean, inverse), scale, shift, slope);
    let d = activation::<N>(normal::<N>(Vector::cast_from(x[first + row + own]), mean, inverse), scale, shift, slope);
    (a, b, c, d)
}

/// `own` lines a pixel, `row` lines a row and `rows` rows has the map that is pooled.
#[cube(launch, address_type = "dynamic")]
fn pool_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    width: FastDivmod<usize>,
    height: FastDivmod<usize>,
    own: usize,
    row: usize,
    rows: usize,
    slope: f32,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (image, line, first) = window(ABSOLUTE_POS, &lines, &width, &height, row, rows, own);
    let at = image * own + line;
    let (centre, per, gain, offset) = (mean[at], inverse[at], scale[line], shift[line]);
    let (a, b, c, d) = read::<E, N>(x, first, own, row, centre, per, gain, offset, slope);
    output[ABSOLUTE_POS] = Vector::cast_from(max(max(a, b), max(c, d)));
}

/// Adds each gradient where its window's maximum was: the first of several, as in PyTorch.
#[cube(launch, address_type = "dynamic")]
fn pool_input_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    upstream: &Tensor<Vector<E, N>>,
    sum: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    width: FastDivmod<usize>,
    height: FastDivmod<usize>,
    own: usize,
    row: usize,
    rows: usize,
    slope: f32,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (image, line, first) = window(ABSOLUTE_POS, &lines, &width, &height, row, rows, own);
    let at = image * own + line;
    let (centre, per, gain, offset) = (mean[at], inverse[at], scale[line], shift[line]);
    let (a, b, c, d) = read::<E, N>(x, first, own, row, centre, per, gain, offset, slope);
    let most = max(max(a, b), max(c, d));

    let zero = Vector::<f32, N>::new(0.0f32);
    let g = Vector::<f32, N>::cast_from(upstream[ABSOLUTE_POS]);
    let to_a = select_many(a.equal(&most), g, zero);
    let after_a = g - to_a;
    let to_b = select_many(b.equal(&most), after_a, zero);
    let after_b = after_a - to_b;
    let to_c = select_many(c.equal(&most), after_b, zero);
    let to_d = after_b - to_c;
    sum[first] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[first]) + to_a);
    sum[first + own] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[first + own]) + to_b);
    sum[first + row] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[first + row]) + to_c);
    sum[first + row + own] = Vector::cast_from(Vector::<f32, N>::cast_from(sum[first + row + own]) + to_d);
}

/// The maxima of what the layer reads: `[batch, channels, height, width]` to half the height and width.
pub(in super::super) fn pool(normed: Normed) -> Result<Values<4>> {
    let Parts { map, mean, inverse, scale, shift, slope } = normed.parts()?;
    let vector = map.vector(&[]);
    let output = Lines::empty(&map.tensor, [map.batch, map.height / 2, map.width / 2, map.channels], map.tensor.dtype);
    let own = map.channels / vector;
    let units = output.batch * output.pixels() * own;
    let (count, dim) = spread(&map.tensor, units);
    let client = map.tensor.client.clone();
    let (addresses, dtype) = (addresses(&[&map.tensor]), stored(&map.tensor));
    pool_kernel::launch(
        &client,
        count,
        dim,
        addresses,
        vector,
        map.tensor.into_tensor_arg(),
        mean.into_tensor_arg(),
        inverse.into_tensor_arg(),
        scale.into_tensor_arg(),
        shift.into_tensor_arg(),
        output.tensor.clone().into_tensor_arg(),
        units,
        own,
        output.width,
        output.height,
        own,
        map.width * own,
        map.height,
        slope,
        dtype,
    );
    Ok(output.map())
}

/// `sum`, with the gradient of the pooling's input added.
pub(in super::super) fn pool_input(normed: Normed, upstream: Values<4>, sum: Values<4>) -> Result<Values<4>> {
    let Parts { map, mean, inverse, scale, shift, slope } = normed.parts()?;
    let (upstream, mut sum) = (Lines::of(upstream)?, Lines::of(sum)?);
    if !sum.tensor.can_mut() {
        sum.tensor = sum.tensor.copy();
    }
    let vector = map.vector(&[]);
    let own = map.channels / vector;
    let units = upstream.batch * upstream.pixels() * own;
    let (count, dim) = spread(&map.tensor, units);
    let client = map.tensor.client.clone();
    let (addresses, dtype) = (addresses(&[&map.tensor]), stored(&map.tensor));
    pool_input_kernel::launch(
        &client,
        count,
        dim,
        addresses,
        vector,
        map.tensor.into_tensor_arg(),
        mean.into_tensor_arg(),
        inverse.into_tensor_arg(),
        scale.into_tensor_arg(),
        shift.into_tensor_arg(),
        upstream.tensor.into_tensor_arg(),
        sum.tensor.clone().into_tensor_arg(),
        units,
        own,
        upstream.width,
        upstream.height,
        own,
        map.width * own,
        map.height,
        slope,
        dtype,
    );
    Ok(sum.map())
}
