//! The head: a product over the channels of each pixel, norm and ReLU on the way, and its gradients.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::activation::{activation, normal};
use super::channels::{Pieces, add_columns, fold, share};
use super::lines::{Lines, Values, addresses, dense, float32, spread, stored, tensor};
use super::normed::Normed;
use super::normed::Parts;

/// A unit for each logit, `[batch, outputs, pixels]`.
#[cube(launch, address_type = "dynamic")]
fn head_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    weight: &Tensor<Vector<f32, N>>,
    bias: &Tensor<f32>,
    logits: &mut Tensor<f32>,
    units: usize,
    pixels: FastDivmod<usize>,
    outputs: FastDivmod<usize>,
    per_image: usize,
    lines: usize,
    slope: f32,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (above, pixel) = pixels.div_mod(ABSOLUTE_POS);
    let (image, output) = outputs.div_mod(above);
    let from = (image * per_image + pixel) * lines;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for line in 0..lines {
        let at = image * lines + line;
        let n = normal::<N>(Vector::cast_from(x[from + line]), mean[at], inverse[at]);
        sum += activation::<N>(n, scale[line], shift[line], slope) * weight[output * lines + line];
    }
    let mut logit = bias[output];
    let size = sum.vector_size().comptime();
    #[unroll]
    for lane in 0..size {
        logit += sum.extract(lane);
    }
    logits[ABSOLUTE_POS] = logit;
}

/// A unit for each line of channels of each pixel of the gradient.
#[cube(launch, address_type = "dynamic")]
fn head_input_kernel<E: Float, N: Size>(
    upstream: &Tensor<f32>,
    weight: &Tensor<Vector<f32, N>>,
    gradient: &mut Tensor<Vector<E, N>>,
    units: usize,
    lines: FastDivmod<usize>,
    pixels: FastDivmod<usize>,
    per_image: usize,
    own: usize,
    outputs: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (above, line) = lines.div_mod(ABSOLUTE_POS);
    let (image, pixel) = pixels.div_mod(above);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for output in 0..outputs {
        let g = upstream[(image * outputs + output) * per_image + pixel];
        sum += weight[output * own + line] * Vector::new(g);
    }
    gradient[ABSOLUTE_POS] = Vector::cast_from(sum);
}

/// The sums of gradient times activation over a piece of an image, for one output.
#[cube(launch, address_type = "dynamic")]
fn head_weight_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    mean: &Tensor<Vector<f32, N>>,
    inverse: &Tensor<Vector<f32, N>>,
    scale: &Tensor<Vector<f32, N>>,
    shift: &Tensor<Vector<f32, N>>,
    upstream: &Tensor<f32>,
    sums: &mut Tensor<Vector<f32, N>>,
    lines: usize,
    pixels: usize,
    length: usize,
    pieces: usize,
    output: usize,
    outputs: usize,
    slope: f32,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[define(E)] _dtype: ElemType,
) {
    let (line, image, start, end) = share(pixels, length, width);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if line < lines {
        let own = image * lines + line;
        let (centre, per, gain, offset) = (mean[own], inverse[own], scale[line], shift[line]);
        let base = image * pixels * lines + line;
        let from = (image * outputs + output) * pixels;
        let mut at = start;
        while at < end {
            let n = normal::<N>(Vector::cast_from(x[base + at * lines]), centre, per);
            sum += activation::<N>(n, gain, offset, slope) * Vector::new(upstream[from + at]);
            at += height;
        }
    }
    let mut all_sums = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let me = UNIT_POS as usize;
    all_sums[me] = sum;
    add_columns::<N>(&mut all_sums, me, width, height);
    if UNIT_POS_Y == 0 && line < lines {
        sums[(image * pieces + CUBE_POS_Y as usize) * lines + line] = all_sums[me];
    }
}

/// Logits `[batch, outputs, height, width]` in float32, by weights `[outputs, channels]` and bias `[outputs]`.
pub(in super::super) fn head(normed: Normed, weight: Values<2>, bias: Values<1>) -> Result<Values<4>> {
    let [outputs, _] = weight.dims();
    let Parts { map, mean, inverse, scale, shift, slope } = normed.parts()?;
    let (weight, bias) = (dense(weight)?, dense(bias)?);
    let vector = map.vector(&[]);
    let logits = float32(&map.tensor, [map.batch, outputs, map.height, map.width]);
    let units = map.batch * outputs * map.pixels();
    let (count, dim) = spread(&map.tensor, units);
    let client = map.tensor.client.clone();
    let (addresses, dtype, pixels) = (addresses(&[&map.tensor]), stored(&map.tensor), map.pixels());
    head_kernel::launch(
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
        weight.into_tensor_arg(),
        bias.into_tensor_arg(),
        logits.clone().into_tensor_arg(),
        units,
        pixels,
        outputs,
        pixels,
        map.channels / vector,
        slope,
        dtype,
    );
    Ok(tensor(logits))
}

/// From the gradient of logits to that of what the head reads, in the type of the maps.
pub(in super::super) fn head_input(weight: Values<2>, upstream: Values<4>, dtype: burn::tensor::DType) -> Result<Values<4>> {
    let [batch, outputs, height, width] = upstream.dims();
    let [_, channels] = weight.dims();
    let (weight, upstream) = (dense(weight)?, dense(upstream)?);
    let gradient = Lines::empty(&upstream, [batch, height, width, channels], dtype);
    let vector = gradient.vector(&[]);
    let own = channels / vector;
    let units = batch * gradient.pixels() * own;
    let (count, dim) = spread(&upstream, units);
    let client = upstream.client.clone();
    let (addresses, stored, pixels) = (addresses(&[&gradient.tensor]), stored(&gradient.tensor), gradient.pixels());
    head_input_kernel::launch(
        &client,
        count,
        dim,
        addresses,
        vector,
        upstream.into_tensor_arg(),
        weight.into_tensor_arg(),
        gradient.tensor.clone().into_tensor_arg(),
        units,
        own,
        pixels,
        pixels,
        own,
        outputs,
        stored,
    );
    Ok(gradient.map())
}

/// The gradient of the weights, `[outputs, channels]`.
pub(in super::super) fn head_weight(normed: Normed, upstream: Values<4>) -> Result<Values<2>> {
    let [_, outputs, ..] = upstream.dims();
    let Parts { map, mean, inverse, scale, shift, slope } = normed.parts()?;
    let upstream = dense(upstream)?;
    let vector = map.vector(&[]);
    let pieces = Pieces::of(&map, vector);
    let client = map.tensor.client.clone();
    let rows = (0..outputs).map(|output| {
        let sums = float32(&map.tensor, [map.batch * pieces.pieces, map.channels]);
        let (count, dim) = pieces.launch(map.batch);
        head_weight_kernel::launch(
            &client,
            count,
            dim,
            addresses(&[&map.tensor]),
            vector,
            map.tensor.clone().into_tensor_arg(),
            mean.clone().into_tensor_arg(),
            inverse.clone().into_tensor_arg(),
            scale.clone().into_tensor_arg(),
            shift.clone().into_tensor_arg(),
            upstream.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            pieces.lines,
            pieces.pixels,
            pieces.length,
            pieces.pieces,
            output,
            outputs,
            slope,
            pieces.width,
            pieces.height,
            stored(&map.tensor),
        );
        tensor::<2>(fold(sums, [1, map.batch * pieces.pieces, map.channels]))
    });
    Ok(Values::cat(rows.collect(), 0))
}

/// The gradient of the bias, `[outputs]`: the sums of a gradient `[batch, outputs, height, width]`.
pub(in super::super) fn head_bias(upstream: Values<4>) -> Result<Values<1>> {
    let [batch, outputs, height, width] = upstream.dims();
    let upstream = dense(upstream)?;
    // A row of pixels at a time, then the rows, then the samples.
    let rows = fold(upstream, [batch * outputs, height, width]);
    let planes = fold(rows, [batch * outputs, width, 1]);
    Ok(tensor::<2>(fold(planes, [1, batch, outputs])).reshape([outputs]))
}
