//! Which tiles a convolution is computed in on a device.

use std::ops::Range;
use std::sync::Arc;

use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use pipeline_kernels::{Area, Geometry};

use super::super::super::costs::SUMS;
use super::form::{Form, Tile, Unit, WeightForm};
use super::tuned::Tuned;

/// What a choice depends on besides the convolution.
#[derive(Debug, Clone)]
pub(in super::super::super) struct Chip {
    /// The device's matrix units for the precision, if it has any.
    pub(super) unit: Option<Unit>,
    /// Units per plane.
    pub(super) plane: usize,
    /// Bytes of shared memory per cube.
    pub(super) shared: usize,
    /// Units per cube.
    pub(super) units: usize,
    /// Multiprocessors.
    pub(super) processors: usize,
    /// Channels that a unit reads or writes at once, at most.
    vector: usize,
    /// The type that is multiplied: float32 without matrix units.
    pub(super) multiplied: ElemType,
    /// The fastest tiles, where they are measured.
    pub(super) tuned: Option<Arc<Tuned>>,
    /// The only tile that is taken.
    #[cfg(test)]
    pub(super) only: Option<Tile>,
}

impl Chip {
    /// The device, with its matrix units that multiply `products` and sum them in float32. Without `products`, none are used.
    pub(super) fn of(client: &Client, products: Option<FloatKind>, tuned: Option<Arc<Tuned>>) -> Self {
        let properties = client.properties();
        let wide = ElemType::Float(FloatKind::F32);
        let multiplied = products.map_or(wide, ElemType::Float);
        let shapes = properties.features.matmul.cmma.iter().filter(|shape| {
            let types = (shape.a_type, shape.b_type, shape.cd_type);
            products.is_some() && types == (multiplied, multiplied, wide) && shape.m == shape.n
        });
        let unit = shapes.max_by_key(|shape| shape.m).map(|shape| {
            let [rows, columns, depth] = [shape.m, shape.n, shape.k].map(|side| side as usize);
            Unit { rows, columns, depth, value: multiplied.size() }
        });
        let hardware = &properties.hardware;
        Self {
            multiplied: if unit.is_some() { multiplied } else { wide },
            unit,
            plane: hardware.plane_size_max as usize,
            shared: hardware.max_shared_memory_size,
            units: hardware.max_units_per_cube as usize,
            processors: hardware.num_streaming_multiprocessors.unwrap_or(64) as usize,
            vector: client.io_optimized_vector_sizes(multiplied.size()).max().unwrap_or(1),
            tuned,
            #[cfg(test)]
            only: None,
        }
    }
}

/// The size of a convolution's output, and its channels.
#[derive(Debug, Clone, Copy)]
pub(in super::super::super) struct Extent {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// The part of an input gradient that is computed.
pub(in super::super::super) struct Wanted {
    pub channels: Range<usize>,
    /// The input's.
    pub area: Area,
}

const fn shape(rows: usize, blocks: usize, down: usize, steps: usize) -> Tile {
    Tile { rows, blocks, down, across: 1, steps }
}

/// The tiles in the order in which they were fastest on an H100 (docs/gpu.md). With four fragments of output channels or more, large
/// tiles come first where they fill the device. The last are for devices with little shared memory.
fn preferred(chip: &Chip, unit: Unit, transposed: bool, extent: Extent) -> Vec<Tile> {
    let Extent { batch, height, width, inputs, outputs } = extent;
    // 16 channels at a time, or 32 in half precision.
    let least = (16 / unit.depth).max(1);
    let steps = if inputs > unit.depth && unit.value == 2 { 2 * least } else { least };
    let shape = |rows, blocks, down, steps: usize| shape(rows, blocks, down, steps.max(least));
    let blocks = outputs.div_ceil(unit.columns);
    let largest = shape(4, 4, 4, steps);
    let cubes = batch * height.div_ceil(16) * width.div_ceil(unit.rows) * blocks.div_ceil(4);
    let [narrow, wide] = [shape(2, 2, 8, 1), shape(2, 4, 4, steps)];
    let small = [shape(4, 2, 4, 1), shape(2, 4, 2, 1), shape(2, 2, 2, 1), shape(1, 1, 2, 1), shape(1, 1, 1, 1)];
    let first = match (blocks, transposed) {
        (4.., _) if 5 * cubes >= 6 * chip.processors => [largest, wide, narrow],
        (4.., false) => [wide, narrow, largest],
        (2.., true) => [narrow, shape(4, 2, 4, 1), wide],
        (2.., false) => [shape(4, 2, 4, 1), narrow, wide],
        _ => [shape(4, 1, 4, 1), shape(2, 1, 4, 1), shape(1, 1, 4, 1)],
    };
    first.into_iter().chain(small).collect()
}

/// The tiles that a convolution may be computed in on this device, the most promising first; at least one.
pub(super) fn tiles(chip: &Chip, unit: Unit, geometry: Geometry, transposed: bool, extent: Extent) -> Vec<Tile> {
    let runs = |tile: &Tile| {
        let form = Form { transposed, ..Form::new(unit, *tile, chip.plane, geometry) };
        // A pixel's channels are loaded at once, one by one if they are an odd number.
        form.shared(chip.vector) <= chip.shared && (form.depth()..=chip.units).contains(&form.units())
    };
    let mut tiles = preferred(chip, unit, transposed, extent);
    #[cfg(test)]
    if let Some(only) = chip.only {
        tiles = vec![only];
    }
    tiles.retain(runs);
    if tiles.is_empty() {
        tiles.push(shape(1, 1, 1, 1));
    }
    tiles
}

/// How the weight gradient for an input with `extent.inputs` channels is divided, and among how many cubes its pixels are. The
/// extent is that of the upstream gradient.
pub(super) fn weight_form(chip: &Chip, unit: Unit, geometry: Geometry, extent: Extent) -> (WeightForm, usize) {
    let (inputs, outputs) = (extent.inputs.div_ceil(unit.rows), extent.outputs.div_ceil(unit.columns));
    let Geometry { size, stride, dilation } = geometry;
    let down = inputs.min(2);
    let (across, blocks) = match outputs {
        3.. => (4, 1),
        2 if down == 2 => (1, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let steps = (16 / unit.depth).max(1);
    let mut form = WeightForm { unit, plane: chip.plane, size, stride, dilation, rows: 8, steps, down, across, blocks };
    while form.rows > 1 && (form.shared() > chip.shared.min((unit.value * 24) << 10) || form.rows >= 2 * extent.height) {
        form.rows /= 2;
    }
    let tiles = extent.batch * extent.height.div_ceil(form.rows) * extent.width.div_ceil(form.width());
    let cubes = extent.inputs.div_ceil(form.inputs()) * extent.outputs.div_ceil(form.outputs());
    // Whole waves of cubes: one cube more would be a wave more.
    let splits = chip.processors * if form.planes() > 2 { 2 } else { 4 } / cubes;
    // The sums of all cubes take no more memory than this, unless the gradient itself does.
    let most = SUMS / (cubes * form.inputs() * form.outputs() * form.taps());
    (form, splits.min(tiles).min(most).max(1))
}
