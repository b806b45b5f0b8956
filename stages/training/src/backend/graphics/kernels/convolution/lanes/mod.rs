//! Convolutions without matrix units: units multiply and add in float32, whatever type the maps are stored in. As on matrix units,
//! a part of the input is read into shared memory once and serves all taps.

mod choice;
mod form;
mod forward;
mod gradient;
mod launch;
mod output;
mod weights;

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};
use pipeline_kernels::{Area, Geometry};

use super::super::nhwc::Nhwc;
use super::super::normed::Operand;
use super::super::partial::Partial;
use super::choice::{Chip, Extent, Wanted};
use super::launch::vector;
use super::pack::{Packs, Weight};
use choice::{form, weight_form};
use form::DEPTH;
pub(super) use launch::After;
use launch::Call;

/// A convolution with weights `[outputs, inputs, size, size]` in float32, and the partial statistics of its output.
pub(super) fn convolve(
    chip: &Chip,
    packs: &mut Packs,
    operands: &[Operand],
    weight: Weight,
    geometry: Geometry,
    after: After,
) -> Result<(Nhwc, Option<Partial>)> {
    let first = operands.first().ok_or_else(|| StageError::new("a convolution without inputs"))?.map();
    let (like, outputs) = (&first.tensor, weight.values.dims()[0]);
    let counts: Vec<usize> = operands.iter().map(|operand| operand.map().channels).collect();
    let [height, width] = [first.height / geometry.stride, first.width / geometry.stride];
    let extent = Extent { batch: first.batch, height, width, inputs: counts.iter().sum(), outputs };
    let vectors = [vector(like, &counts, DEPTH), vector(like, &[outputs], DEPTH)];
    let packed = &packs.pack(weight, DType::F32, DEPTH)?;
    let map = Nhwc::empty(like, [first.batch, height, width, outputs], like.dtype);
    let form = form(chip, geometry, extent, vectors, None);
    let sums = Call { operands, packed, form, before: 0, after }.run(&map)?;
    Ok((map, sums))
}

/// The gradient of some input channels of a convolution, with a bias added. With a stride, the pixels of each phase are computed as a convolution of their
/// own, with those taps that reach them.
pub(super) fn convolve_input(
    chip: &Chip,
    packs: &mut Packs,
    upstream: &Operand,
    weight: Weight,
    geometry: Geometry,
    wanted: Wanted,
    bias: Option<CubeTensor>,
) -> Result<Nhwc> {
    let Wanted { channels, area: Area { height, width, .. } } = wanted;
    let (before, outputs) = (channels.start, channels.len());
    let like = upstream.map();
    let (batch, inputs, stride) = (like.batch, like.channels, geometry.stride);
    let extent = Extent { batch, height, width, inputs, outputs };
    let vectors = [vector(&like.tensor, &[inputs], DEPTH), vector(&like.tensor, &[outputs], DEPTH)];
    let packed = &packs.pack(weight, DType::F32, DEPTH)?;
    let map = Nhwc::empty(&like.tensor, [batch, height, width, outputs], like.tensor.dtype);
    for phase in 0..stride * stride {
        let form = form(chip, geometry, extent, vectors, Some([phase / stride, phase % stride]));
        let after = After { bias: bias.clone(), ..After::default() };
        Call { operands: std::slice::from_ref(upstream), packed, form, before, after }.run(&map)?;
    }
    Ok(map)
}

/// The sums of a weight gradient for one of the inputs: `[splits, taps, padded inputs, padded outputs]`.
pub(super) fn weight_sums(chip: &Chip, operand: &Operand, upstream: &Operand, geometry: Geometry) -> CubeTensor {
    let (input, gradient) = (operand.map(), upstream.map());
    let (inputs, [batch, height, width, outputs]) = (input.channels, gradient.dims());
    let vectors = [inputs, outputs].map(|channels| vector(&input.tensor, &[channels], DEPTH));
    let (form, cubes) = weight_form(chip, geometry, Extent { batch, height, width, inputs, outputs }, vectors);
    launch::weight_sums(operand, upstream, form, cubes)
}
