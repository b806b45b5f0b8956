//! The head: a product over the channels of each pixel, with norm and activation applied while reading, and its gradients.

use burn::tensor::DType;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::cubecl::std::FastDivmod;
use pipeline_contract::Result;

use super::channels::{Pieces, column_sum, fold, fold_into};
use super::nhwc::{Nhwc, Values, addresses, dense, float32, primitive, spread, stored, tensor};
use super::normed::{Norm, Normed, NormedMap};
use super::units::{MapUnits, map_units};

/// One unit per logit of `[batch, outputs, pixels]`.
#[derive(CubeType, CubeLaunch)]
struct Logits {
    units: usize,
    pixels: FastDivmod<usize>,
    outputs: FastDivmod<usize>,
    /// Pixels per image.
    per_image: usize,
    /// Channel vectors per pixel.
    vectors: usize,
}

#[cube(launch, address_type = "dynamic")]
fn head_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    norm: &Norm<N>,
    weight: &Tensor<Vector<f32, N>>,
    bias: &Tensor<f32>,
    logits: &mut Tensor<f32>,
    of: &Logits,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= of.units {
        terminate!();
    }
    let (above, pixel) = of.pixels.div_mod(ABSOLUTE_POS);
    let (image, output) = of.outputs.div_mod(above);
    let from = (image * of.per_image + pixel) * of.vectors;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for vector in 0..of.vectors {
        let norm = norm.of(image, vector, of.vectors);
        sum += norm.apply(Vector::cast_from(x[from + vector])) * weight[output * of.vectors + vector];
    }
    let mut logit = bias[output];
    let size = sum.vector_size().comptime();
    #[unroll]
    for lane in 0..size {
        logit += sum.extract(lane);
    }
    logits[ABSOLUTE_POS] = logit;
}

/// One unit per channel vector of each pixel of the gradient.
#[cube(launch, address_type = "dynamic")]
fn input_kernel<E: Float, N: Size>(
    upstream: &Tensor<f32>,
    weight: &Tensor<Vector<f32, N>>,
    gradient: &mut Tensor<Vector<E, N>>,
    units: &MapUnits,
    outputs: usize,
    #[define(E)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= units.count {
        terminate!();
    }
    let place = units.place(ABSOLUTE_POS);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    for output in 0..outputs {
        let g = upstream[(place.image * outputs + output) * units.per_image + place.pixel];
        sum += weight[output * units.own + place.vector] * Vector::new(g);
    }
    gradient[ABSOLUTE_POS] = Vector::cast_from(sum);
}

/// The sums of gradient times activation over a piece of an image, for one output.
#[cube(launch, address_type = "dynamic")]
fn weight_kernel<E: Float, N: Size>(
    x: &Tensor<Vector<E, N>>,
    norm: &Norm<N>,
    upstream: &Tensor<f32>,
    sums: &mut Tensor<Vector<f32, N>>,
    pieces: &Pieces,
    output: usize,
    outputs: usize,
    #[define(E)] _dtype: ElemType,
) {
    let share = pieces.share();
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if share.vector < pieces.vectors {
        let norm = norm.of(share.image, share.vector, pieces.vectors);
        let base = pieces.base(&share);
        let from = (share.image * outputs + output) * pieces.pixels;
        let mut at = share.start;
        while at < share.end {
            sum += norm.apply(Vector::cast_from(x[base + at * pieces.vectors])) * Vector::new(upstream[from + at]);
            at += comptime!(pieces.height);
        }
    }
    let sum = column_sum::<N>(sum, comptime!(pieces.width), comptime!(pieces.height));
    if pieces.writes(&share) {
        let piece = share.image * pieces.pieces + CUBE_POS_Y as usize;
        sums[(piece * outputs + output) * pieces.vectors + share.vector] = sum;
    }
}

/// Computes logits `[batch, outputs, height, width]` in float32 from weights `[outputs, channels]` and bias `[outputs]`.
pub(in super::super) fn head(normed: Normed, weight: Values<2>, bias: Values<1>) -> Result<Values<4>> {
    let [outputs, _] = weight.dims();
    let NormedMap { map, norm } = NormedMap::of(normed)?;
    let vector_size = map.vector_size(&[]);
    let logits = float32(&map.tensor, [map.batch, outputs, map.height, map.width]);
    let units = map.batch * outputs * map.pixels();
    let (count, dim) = spread(&map.tensor, units);
    head_kernel::launch(
        &map.tensor.client,
        count,
        dim,
        addresses(&[&map.tensor]),
        vector_size,
        map.tensor.clone().into_tensor_arg(),
        norm.arg(),
        dense(weight)?.into_tensor_arg(),
        dense(bias)?.into_tensor_arg(),
        logits.clone().into_tensor_arg(),
        LogitsLaunch { units, pixels: map.pixels(), outputs, per_image: map.pixels(), vectors: map.channels / vector_size },
        stored(&map.tensor),
    );
    Ok(tensor(logits))
}

/// From the gradient of the logits to the gradient of the head's input, in the type of the maps.
pub(in super::super) fn head_input(weight: Values<2>, upstream: Values<4>, dtype: DType) -> Result<Values<4>> {
    let [batch, outputs, height, width] = upstream.dims();
    let [_, channels] = weight.dims();
    let upstream = dense(upstream)?;
    let gradient = Nhwc::empty(&upstream, [batch, height, width, channels], dtype);
    let vector_size = gradient.vector_size(&[]);
    let (units, places) = map_units(&gradient, vector_size);
    let (count, dim) = spread(&upstream, units);
    input_kernel::launch(
        &upstream.client,
        count,
        dim,
        addresses(&[&gradient.tensor]),
        vector_size,
        upstream.clone().into_tensor_arg(),
        dense(weight)?.into_tensor_arg(),
        gradient.tensor.clone().into_tensor_arg(),
        places,
        outputs,
        stored(&gradient.tensor),
    );
    Ok(gradient.map())
}

/// Adds the gradient of the weights to its sum `[outputs, channels]`.
pub(in super::super) fn head_weight(normed: Normed, upstream: Values<4>, sum: Values<1>) -> Result<()> {
    let [_, outputs, ..] = upstream.dims();
    let NormedMap { map, norm } = NormedMap::of(normed)?;
    let upstream = dense(upstream)?;
    let vector_size = map.vector_size(&[]);
    let pieces = Pieces::of(&map, vector_size);
    let sums = float32(&map.tensor, [map.batch * pieces.pieces, outputs, map.channels]);
    for output in 0..outputs {
        let (count, dim) = pieces.launch(map.batch);
        weight_kernel::launch(
            &map.tensor.client,
            count,
            dim,
            addresses(&[&map.tensor]),
            vector_size,
            map.tensor.clone().into_tensor_arg(),
            norm.arg(),
            upstream.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            pieces.arg(),
            output,
            outputs,
            stored(&map.tensor),
        );
    }
    fold_into(&primitive(sum)?, sums, [1, map.batch * pieces.pieces, outputs * map.channels]);
    Ok(())
}

/// Adds the gradient of the bias, the sums of a gradient `[batch, outputs, height, width]`, to its sum `[outputs]`.
pub(in super::super) fn head_bias(upstream: Values<4>, sum: Values<1>) -> Result<()> {
    let [batch, outputs, height, width] = upstream.dims();
    let upstream = dense(upstream)?;
    // Sums each row of pixels first, then the rows and the samples.
    let rows = fold(upstream, [batch * outputs, height, width]);
    let sum = primitive(sum)?;
    if batch == 1 {
        fold_into(&sum, rows, [outputs, width, 1]);
    } else {
        fold_into(&sum, fold(rows, [batch * outputs, width, 1]), [1, batch, outputs]);
    }
    Ok(())
}
