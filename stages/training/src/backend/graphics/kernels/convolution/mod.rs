//! Convolutions on matrix units: a part of the input is read into shared memory once and serves all taps.
//!
//! An input is normalised while it is read, several inputs are read in turn, and the partial statistics of the output are computed
//! where it is made, so no map is written for any of these.

mod choice;
mod form;
mod forward;
mod gradient;
mod launch;
mod output;
mod pack;
mod source;

use std::ops::Range;

use burn::backend::cubecl::dtype_to_storage_type;
use burn::tensor::DType;
use pipeline_contract::{Result, StageError};
use pipeline_kernels::Geometry;

use super::channels::fold;
use super::nhwc::{Nhwc, Values, dense, tensor};
use super::normed::{Operand, Read};
use super::partial::Partial;
pub(in super::super) use choice::Chip;
use choice::{Extent, tile, weight_form};
use form::Form;
use launch::{Call, weight_sums};
use pack::pack;

/// The matrix units of a tensor's device for maps of this type, if it has any.
pub(in super::super) fn chip(tensor: &Values<1>, dtype: DType) -> Result<Option<Chip>> {
    Ok(Chip::of(&dense(tensor.clone())?.client, dtype_to_storage_type(dtype)))
}

/// A convolution to compute.
pub(in super::super) struct Convolution {
    pub inputs: Vec<Read>,
    /// `[outputs, inputs, size, size]` in float32.
    pub weight: Values<4>,
    pub geometry: Geometry,
    /// One per output channel.
    pub bias: Option<Values<1>>,
    /// The activation's slope below zero, if there is one.
    pub slope: Option<f32>,
    /// Whether partial statistics are wanted.
    pub sums: bool,
}

/// A convolution with its bias and activation, and the partial statistics of its output.
pub(in super::super) fn convolve(chip: &Chip, convolution: Convolution) -> Result<(Values<4>, Option<Partial>)> {
    let Convolution { inputs, weight, geometry, bias, slope, sums } = convolution;
    let operands = inputs.into_iter().map(Operand::of).collect::<Result<Vec<_>>>()?;
    let first = operands.first().ok_or_else(|| StageError::new("a convolution without inputs"))?.map();
    let [outputs, inputs, ..] = weight.dims();
    let [height, width] = [first.height / geometry.stride, first.width / geometry.stride];
    let extent = Extent { batch: first.batch, height, width, inputs, outputs };
    let form = Form::new(chip.unit, tile(chip, geometry, false, extent), chip.plane, geometry);
    let packed = pack(&dense(weight)?, first.tensor.dtype, chip.unit.depth);
    let bias = bias.map(dense).transpose()?;
    let call = Call { operands: &operands, packed, form, before: 0, bias, slope, sums };
    let (map, sums) = call.run([height, width], outputs, None)?;
    Ok((map.map(), sums))
}

/// The gradient of `wanted` of the input channels of a convolution with stride 1.
pub(in super::super) fn convolve_input(
    chip: &Chip,
    upstream: Values<4>,
    weight: Values<4>,
    geometry: Geometry,
    wanted: Range<usize>,
) -> Result<Values<4>> {
    let upstream = Nhwc::of(upstream)?;
    let [batch, height, width, channels] = upstream.dims();
    let extent = Extent { batch, height, width, inputs: channels, outputs: wanted.len() };
    let form = Form { transposed: true, ..Form::new(chip.unit, tile(chip, geometry, true, extent), chip.plane, geometry) };
    let packed = pack(&dense(weight)?, upstream.tensor.dtype, chip.unit.depth);
    let before = wanted.start;
    let call = Call { operands: &[Operand::Plain(upstream)], packed, form, before, bias: None, slope: None, sums: false };
    let (map, _) = call.run([height, width], wanted.len(), None)?;
    Ok(map.map())
}

/// The gradient of a convolution's weights, `[outputs, inputs, size, size]` in float32.
pub(in super::super) fn convolve_weight(
    chip: &Chip,
    inputs: Vec<Read>,
    upstream: Values<4>,
    geometry: Geometry,
) -> Result<Values<4>> {
    let upstream = Operand::Plain(Nhwc::of(upstream)?);
    let [batch, height, width, outputs] = upstream.map().dims();
    let mut parts = Vec::new();
    for input in inputs {
        let operand = Operand::of(input)?;
        let channels = operand.map().channels;
        let (form, splits) = weight_form(chip, geometry, Extent { batch, height, width, inputs: channels, outputs });
        let sums = weight_sums(&operand, &upstream, form, splits);
        let &[_, taps, rows, columns] = sums.meta.shape().as_slice() else { continue };
        let sum = tensor::<2>(fold(sums, [1, splits, taps * rows * columns]));
        let sum = sum.reshape([taps, rows, columns]).narrow(1, 0, channels).narrow(2, 0, outputs);
        parts.push(sum.permute([2, 1, 0]));
    }
    let channels = parts.iter().map(|part| part.dims()[1]).sum::<usize>();
    let all = if parts.len() == 1 { parts.remove(0) } else { Values::cat(parts, 1) };
    Ok(all.reshape([outputs, channels, geometry.size, geometry.size]))
}

