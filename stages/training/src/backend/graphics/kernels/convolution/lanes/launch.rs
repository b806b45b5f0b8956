//! Launches of the kernels.

use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::super::super::nhwc::{Nhwc, addresses, float32, stored};
use super::super::super::normed::Operand;
use super::super::super::partial::Partial;
use super::super::forward::WeightsLaunch;
use super::super::gradient::TilesLaunch;
use super::super::launch::{source, sources};
use super::super::output::{OutputLaunch, SumsLaunch};
use super::form::{DEPTH, Form, WeightForm};
use super::forward::convolve_kernel;
use super::gradient::convolve_weight_kernel;

/// What is applied to a convolution's output.
#[derive(Default)]
pub(in super::super) struct After {
    /// One per output channel.
    pub bias: Option<CubeTensor>,
    /// The activation's slope below zero, if there is one.
    pub slope: Option<f32>,
    /// Whether partial statistics are wanted.
    pub sums: bool,
}

/// A launch's parts that both directions share.
pub(super) struct Call<'a> {
    pub operands: &'a [Operand],
    /// `[taps, inputs, padded outputs]` in float32.
    pub packed: &'a CubeTensor,
    pub form: Form,
    /// The first row of the packed weights.
    pub before: usize,
    pub after: After,
}

impl Call<'_> {
    /// Computes a map, or those of its pixels that belong to the form's phase.
    pub fn run(self, map: &Nhwc) -> Result<Option<Partial>> {
        let Self { operands, packed, form, before, after: After { bias, slope, sums } } = self;
        let first = operands.first().ok_or_else(|| StageError::new("a convolution without inputs"))?.map();
        let like = &first.tensor;
        let [batch, height, width, outputs] = map.dims();
        let (across, down) =
            (width.div_ceil(form.factor()).div_ceil(form.tile.wide), height.div_ceil(form.factor()).div_ceil(form.height()));
        let blocks = outputs.div_ceil(form.outputs());
        let sums = sums.then(|| Partial::empty(like, [batch, across * down, outputs], height * width));
        let made = sums.as_ref().map(|sums| {
            let [means, squares, counts] = sums.args();
            SumsLaunch::new(means, squares, counts)
        });
        let packed_vector = if form.phase.is_some() { DEPTH } else { form.written };
        let widest = operands.iter().map(|operand| &operand.map().tensor).chain([&map.tensor]).collect::<Vec<_>>();
        convolve_kernel::launch(
            &like.client,
            CubeCount::Static(across as u32, down as u32, (batch * blocks) as u32),
            CubeDim::new_1d(form.units() as u32),
            addresses(&widest),
            form.read,
            packed_vector,
            form.written,
            sources(operands, form.read),
            WeightsLaunch::new(
                packed.clone().into_tensor_arg(),
                packed.meta.shape()[1] as u32,
                (packed.meta.shape()[2] / packed_vector) as u32,
            ),
            OutputLaunch::new(
                map.tensor.clone().into_tensor_arg(),
                height as u32,
                width as u32,
                (outputs / form.written) as u32,
                blocks as u32,
                bias.map(|bias| bias.into_tensor_arg()).into(),
                slope.into(),
                made.into(),
            ),
            first.height as u32,
            first.width as u32,
            before as u32,
            form,
            stored(like),
        );
        Ok(sums)
    }
}

/// The sums of a weight gradient for one of the inputs: `[splits, taps, padded inputs, padded outputs]`, with `form.parts` splits
/// for each of the `cubes` that pixels are divided among.
pub(super) fn weight_sums(operand: &Operand, upstream: &Operand, form: WeightForm, cubes: usize) -> CubeTensor {
    let (map, gradient) = (operand.map(), upstream.map());
    let like = &map.tensor;
    let (across, down) = (gradient.width.div_ceil(form.width), gradient.height.div_ceil(form.height));
    let tiles = gradient.batch * across * down;
    let (inputs, outputs) = (map.channels.div_ceil(form.inputs()), gradient.channels.div_ceil(form.outputs()));
    let taps = form.size * form.size;
    let sums = float32(like, [cubes * form.parts, taps, inputs * form.inputs(), outputs * form.outputs()]);
    convolve_weight_kernel::launch(
        &like.client,
        CubeCount::Static(cubes as u32, inputs as u32, outputs as u32),
        CubeDim::new_1d(form.units() as u32),
        addresses(&[like, &gradient.tensor, &sums]),
        form.read,
        form.upstream_read,
        source(operand, form.read),
        source(upstream, form.upstream_read),
        sums.clone().into_tensor_arg(),
        TilesLaunch::new(gradient.height as u32, gradient.width as u32, across as u32, down as u32, tiles as u32),
        map.height as u32,
        map.width as u32,
        form,
        stored(like),
    );
    sums
}
