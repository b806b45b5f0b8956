//! Launches of the kernels.

use burn_cubecl::cubecl::future::block_on;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::tensor::CubeTensor;
use pipeline_contract::{Result, StageError};

use super::super::nhwc::{Nhwc, addresses, float32, stored};
use super::super::normed::Operand;
use super::super::partial::Partial;
use super::choice::Chip;
use super::form::{Form, Tile, WeightForm};
use super::forward::{WeightsLaunch, convolve_kernel};
use super::gradient::{TilesLaunch, convolve_weight_kernel};
use super::output::{OutputLaunch, SumsLaunch};
use super::source::{Source, SourceLaunch};
use crate::device;

/// Neighbouring channels that a unit handles at once, for maps with these numbers of channels: the device's widest load that
/// divides them all and isn't longer than `most`.
pub(super) fn vector(like: &CubeTensor, channels: &[usize], most: usize) -> usize {
    let mut sizes = like.client.io_optimized_vector_sizes(like.dtype.size());
    sizes.find(|size| *size <= most && channels.iter().all(|count| count.is_multiple_of(*size))).unwrap_or(1)
}

pub(super) fn sources<E: Float, N: Size>(operands: &[Operand], vector: usize) -> SequenceArg<Source<E, N>> {
    operands.iter().map(|operand| source(operand, vector)).collect()
}

pub(super) fn source<E: Float, N: Size>(operand: &Operand, vector: usize) -> SourceLaunch<E, N> {
    let map = operand.map();
    let norm = match operand {
        Operand::Normed(normed) => Some(normed.norm.arg()),
        Operand::Plain(_) => None,
    };
    SourceLaunch::new(map.tensor.clone().into_tensor_arg(), norm.into(), (map.channels / vector) as u32)
}

/// Products from which on a convolution's tiles are measured.
const MEASURED: usize = 1 << 26;

/// A convolution or an input gradient to launch.
pub(super) struct Call<'a> {
    pub chip: &'a Chip,
    pub operands: &'a [Operand],
    pub packed: CubeTensor,
    /// The first row of the packed weights.
    pub before: usize,
    pub bias: Option<CubeTensor>,
    pub slope: Option<f32>,
    /// Whether partial statistics are wanted.
    pub sums: bool,
    /// Height and width in pixels that are computed.
    pub size: [usize; 2],
    pub outputs: usize,
}

impl Call<'_> {
    /// Computes the map in the fastest of these tiles.
    pub fn run(&self, tiles: &[Tile], form: impl Fn(Tile) -> Form) -> Result<(Nhwc, Option<Partial>)> {
        let [first, ..] = self.operands else { return Err(StageError::new("a convolution without inputs")) };
        let any = form(Tile::default());
        // A small convolution takes its time whatever its tile is.
        let Some(tuned) = self.chip.tuned.as_ref().filter(|_| self.products(&any) >= MEASURED) else {
            return self.launch(form(tiles.first().copied().unwrap_or_default()));
        };
        let client = &first.map().tensor.client;
        let wait = || block_on(client.sync()).map_err(|error| device::failed(&format!("{error:?}")));
        tuned.run(&self.name(&any), tiles, device::is_dry_run(), wait, |tile| self.launch(form(tile)))
    }

    /// Products of two numbers.
    fn products(&self, form: &Form) -> usize {
        let inputs: usize = self.operands.iter().map(|operand| operand.map().channels).sum();
        let batch = self.operands.first().map_or(0, |operand| operand.map().batch);
        let [height, width] = self.size;
        batch * height * width * inputs * self.outputs * form.taps() * form.factor().pow(2)
    }

    /// Everything on which the time of a tile depends.
    fn name(&self, form: &Form) -> String {
        let &Form { size, stride, dilation, transposed, scatter, .. } = form;
        let [height, width] = self.size;
        let inputs = self.operands.iter().map(|operand| {
            let map = operand.map();
            let normed = if matches!(operand, Operand::Normed(_)) { " normed" } else { "" };
            format!("{} x {}{normed}", map.batch, map.channels)
        });
        let way = if scatter {
            "scattered"
        } else if transposed {
            "transposed"
        } else {
            "forward"
        };
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        let (outputs, sums, multiplied) = (self.outputs, self.sums, self.chip.multiplied);
        format!("{multiplied:?} {way} {size}/{stride}/{dilation}, {height} x {width}, {inputs} to {outputs}, sums {sums}")
    }

    fn launch(&self, form: Form) -> Result<(Nhwc, Option<Partial>)> {
        let &Self { operands, ref packed, before, ref bias, slope, sums, size: [height, width], outputs, .. } = self;
        let first = operands.first().ok_or_else(|| StageError::new("a convolution without inputs"))?.map();
        let like = &first.tensor;
        let counts: Vec<usize> = operands.iter().map(|operand| operand.map().channels).collect();
        let read = vector(like, &counts, form.unit.depth);
        let packed_vector = vector(like, &[packed.meta.shape()[2]], form.unit.depth);
        let written = vector(like, &[outputs], form.unit.columns);
        let factor = form.factor();
        let shape = [first.batch, height * factor, width * factor, outputs];
        let map = Nhwc::empty(like, shape, like.dtype);
        let (across, down) = (width.div_ceil(form.unit.rows), height.div_ceil(form.height()));
        let (blocks, pieces) = (factor * factor * outputs.div_ceil(form.outputs()), across * down);
        let sums = sums.then(|| Partial::empty(like, [first.batch, pieces, outputs], height * width));
        let count = CubeCount::Static(across as u32, down as u32, (first.batch * blocks) as u32);
        let arg = |tensor: &CubeTensor| tensor.clone().into_tensor_arg();
        let made = sums.as_ref().map(|sums| {
            let [means, squares, counts] = sums.args();
            SumsLaunch::new(means, squares, counts)
        });
        let widest = operands.iter().map(|operand| &operand.map().tensor).chain([&map.tensor]).collect::<Vec<_>>();
        convolve_kernel::launch(
            &like.client,
            count,
            CubeDim::new_2d(form.plane as u32, form.planes() as u32),
            addresses(&widest),
            read,
            packed_vector,
            written,
            sources(operands, read),
            WeightsLaunch::new(arg(packed), packed.meta.shape()[1] as u32, (packed.meta.shape()[2] / packed_vector) as u32),
            OutputLaunch::new(
                arg(&map.tensor),
                height as u32,
                width as u32,
                (outputs / written) as u32,
                blocks as u32,
                bias.as_ref().map(arg).into(),
                slope.into(),
                made.into(),
            ),
            first.height as u32,
            first.width as u32,
            before as u32,
            form,
            stored(like),
            self.chip.multiplied,
        );
        Ok((map, sums))
    }
}

/// The sums of a weight gradient for one of the inputs: `[splits, taps, padded inputs, padded outputs]`.
pub(super) fn weight_sums(
    operand: &Operand,
    upstream: &Operand,
    form: WeightForm,
    splits: usize,
    multiplied: ElemType,
) -> CubeTensor {
    let (map, gradient) = (operand.map(), upstream.map());
    let like = &map.tensor;
    let read = vector(like, &[map.channels], form.unit.rows);
    let upstream_vector = vector(like, &[gradient.channels], form.unit.columns);
    let (across, down) = (gradient.width.div_ceil(form.width()), gradient.height.div_ceil(form.rows));
    let tiles = gradient.batch * across * down;
    let (inputs, outputs) = (map.channels.div_ceil(form.inputs()), gradient.channels.div_ceil(form.outputs()));
    let sums = float32(like, [splits, form.taps(), inputs * form.inputs(), outputs * form.outputs()]);
    convolve_weight_kernel::launch(
        &like.client,
        CubeCount::Static(splits as u32, inputs as u32, outputs as u32),
        CubeDim::new_2d(form.plane as u32, form.planes() as u32),
        addresses(&[like, &gradient.tensor, &sums]),
        read,
        upstream_vector,
        source(operand, read),
        source(upstream, upstream_vector),
        sums.clone().into_tensor_arg(),
        TilesLaunch::new(gradient.height as u32, gradient.width as u32, across as u32, down as u32, tiles as u32),
        map.height as u32,
        map.width as u32,
        form,
        stored(like),
        multiplied,
    );
    sums
}
