//! Convolutions, on matrix units where the device has them for the precision: a part of the input is read into shared memory once
//! and serves all taps.
//!
//! An input is normalised while it is read, several inputs are read in turn, and the partial statistics of the output are computed
//! where it is made, so no map is written for any of these.

mod choice;
mod form;
mod forward;
mod gradient;
mod lanes;
mod launch;
mod output;
mod pack;
mod source;
#[cfg(test)]
mod tests;
mod tuned;

use burn_cubecl::cubecl::ir::FloatKind;
use pipeline_contract::{Result, StageError};
use pipeline_kernels::{Area, Geometry};

use super::nhwc::{Nhwc, Values, dense};
use super::normed::{Operand, Read};
use super::partial::Partial;
use crate::precision::Precision;
pub(in super::super) use choice::{Chip, Wanted};
use choice::{Extent, tiles, weight_form};
use form::Form;
use lanes::After;
use launch::{Call, weight_sums};
use pack::unpack;
pub(in super::super) use pack::{Packs, Weight};
use tuned::Tuned;

/// A tensor's device, with its matrix units for this precision if it has any.
pub(in super::super) fn chip(tensor: &Values<1>, precision: Precision) -> Result<Chip> {
    let tuned = Tuned::of(&tensor.device());
    let multiplied = match precision {
        Precision::Float32 => None,
        Precision::Tf32 => Some(FloatKind::TF32),
        Precision::Float16 => Some(FloatKind::F16),
        Precision::BFloat16 => Some(FloatKind::BF16),
    };
    Ok(Chip::of(&dense(tensor.clone())?.client, multiplied, tuned))
}

/// A convolution to compute.
pub(in super::super) struct Convolution {
    pub inputs: Vec<Read>,
    pub weight: Weight,
    pub geometry: Geometry,
    /// One per output channel.
    pub bias: Option<Values<1>>,
    /// The activation's slope below zero, if there is one.
    pub slope: Option<f32>,
    /// Whether partial statistics are wanted.
    pub sums: bool,
}

/// A convolution with its bias and activation, and the partial statistics of its output.
pub(in super::super) fn convolve(
    chip: &Chip,
    packs: &mut Packs,
    convolution: Convolution,
) -> Result<(Values<4>, Option<Partial>)> {
    let Convolution { inputs, weight, geometry, bias, slope, sums } = convolution;
    let operands = inputs.into_iter().map(Operand::of).collect::<Result<Vec<_>>>()?;
    let first = operands.first().ok_or_else(|| StageError::new("a convolution without inputs"))?.map();
    let [outputs, inputs, ..] = weight.values.dims();
    let bias = bias.map(dense).transpose()?;
    let Some(unit) = chip.unit else {
        let (map, sums) = lanes::convolve(chip, packs, &operands, weight, geometry, After { bias, slope, sums })?;
        return Ok((map.map(), sums));
    };
    let [height, width] = [first.height / geometry.stride, first.width / geometry.stride];
    let extent = Extent { batch: first.batch, height, width, inputs, outputs };
    let form = |tile| Form::new(unit, tile, chip.plane, geometry);
    let packed = packs.pack(weight, first.tensor.dtype, unit.depth)?;
    let call = Call { chip, operands: &operands, packed, before: 0, bias, slope, sums, size: [height, width], outputs };
    let (map, sums) = call.run(&tiles(chip, unit, geometry, false, extent), form)?;
    Ok((map.map(), sums))
}

/// The gradient of some of the input channels of a convolution.
pub(in super::super) fn convolve_input(
    chip: &Chip,
    packs: &mut Packs,
    upstream: Values<4>,
    weight: Weight,
    geometry: Geometry,
    wanted: Wanted,
) -> Result<Values<4>> {
    let upstream = Nhwc::of(upstream)?;
    let (Some(unit), 1) = (chip.unit, geometry.stride) else {
        return Ok(lanes::convolve_input(chip, packs, &Operand::Plain(upstream), weight, geometry, wanted, None)?.map());
    };
    let Wanted { channels: wanted, area: Area { height, width, .. } } = wanted;
    let extent = Extent { batch: upstream.batch, height, width, inputs: upstream.channels, outputs: wanted.len() };
    let form = |tile| Form { transposed: true, ..Form::new(unit, tile, chip.plane, geometry) };
    let packed = packs.pack(weight, upstream.tensor.dtype, unit.depth)?;
    let before = wanted.start;
    let call = Call {
        chip,
        operands: &[Operand::Plain(upstream)],
        packed,
        before,
        bias: None,
        slope: None,
        sums: false,
        size: [height, width],
        outputs: wanted.len(),
    };
    let (map, _) = call.run(&tiles(chip, unit, geometry, true, extent), form)?;
    Ok(map.map())
}

/// Adds the gradient of a convolution's weights to its sum `[outputs, inputs, size, size]`.
pub(in super::super) fn convolve_weight(
    chip: &Chip,
    inputs: Vec<Read>,
    upstream: Read,
    geometry: Geometry,
    sum: Values<1>,
) -> Result<()> {
    let upstream = Operand::of(upstream)?;
    let [batch, height, width, outputs] = upstream.map().dims();
    let operands = inputs.into_iter().map(Operand::of).collect::<Result<Vec<_>>>()?;
    let all = operands.iter().map(|operand| operand.map().channels).sum();
    let (sum, mut before) = (dense(sum)?, 0);
    for operand in operands {
        let inputs = operand.map().channels;
        let sums = match chip.unit {
            Some(unit) => {
                let (form, splits) = weight_form(chip, unit, geometry, Extent { batch, height, width, inputs, outputs });
                weight_sums(&operand, &upstream, form, splits, chip.multiplied)
            }
            None => lanes::weight_sums(chip, &operand, &upstream, geometry),
        };
        unpack(sums, &sum, before, [outputs, inputs, all]);
        before += inputs;
    }
    Ok(())
}

/// A 2x2 transposed convolution with stride 2: from an input and weights `[inputs, outputs, 2, 2]` to a map of twice its size.
pub(in super::super) fn upsample(
    chip: &Chip,
    packs: &mut Packs,
    input: Read,
    weight: Weight,
    bias: Option<Values<1>>,
) -> Result<Values<4>> {
    let operand = Operand::of(input)?;
    let [batch, height, width, inputs] = operand.map().dims();
    let [_, outputs, ..] = weight.values.dims();
    let bias = bias.map(dense).transpose()?;
    let Some(unit) = chip.unit else {
        let wanted = Wanted { channels: 0..outputs, area: Area { batch, height: 2 * height, width: 2 * width } };
        return Ok(lanes::convolve_input(chip, packs, &operand, weight, Geometry::TWO_STRIDE_2, wanted, bias)?.map());
    };
    let extent = Extent { batch, height, width, inputs, outputs: 4 * outputs };
    let form = |tile| Form::scattered(unit, tile, chip.plane);
    let packed = packs.pack(weight, operand.map().tensor.dtype, unit.depth)?;
    let call =
        Call { chip, operands: &[operand], packed, before: 0, bias, slope: None, sums: false, size: [height, width], outputs };
    let (map, _) = call.run(&tiles(chip, unit, Geometry::ONE, true, extent), form)?;
    Ok(map.map())
}

/// The gradient of the input of a 2x2 transposed convolution with stride 2: a convolution of the upstream gradient.
pub(in super::super) fn upsample_input(
    chip: &Chip,
    packs: &mut Packs,
    upstream: Values<4>,
    weight: Weight,
) -> Result<Values<4>> {
    let geometry = Geometry::TWO_STRIDE_2;
    let convolution =
        Convolution { inputs: vec![Read::Plain(upstream)], weight, geometry, bias: None, slope: None, sums: false };
    Ok(convolve(chip, packs, convolution)?.0)
}

/// Adds the gradient of the weights of a 2x2 transposed convolution with stride 2 to its sum `[inputs, outputs, 2, 2]`: that of the
/// convolution whose input gradient it is, with the roles of input and upstream gradient exchanged.
pub(in super::super) fn upsample_weight(chip: &Chip, input: Read, upstream: Values<4>, sum: Values<1>) -> Result<()> {
    convolve_weight(chip, vec![Read::Plain(upstream)], input, Geometry::TWO_STRIDE_2, sum)
}
