//! Which tiles a convolution is computed in on a device.

use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::ir::{ElemType, FloatKind};
use pipeline_kernels::Geometry;

use super::form::{Form, Tile, Unit, WeightForm};

/// What a choice depends on besides the convolution.
#[derive(Debug, Clone, Copy)]
pub(in super::super::super) struct Chip {
    pub unit: Unit,
    /// Units per plane.
    pub plane: usize,
    /// Bytes of shared memory per cube.
    shared: usize,
    /// Units per cube.
    units: usize,
    /// Multiprocessors.
    processors: usize,
    /// Bytes per value of a map.
    value: usize,
}

impl Chip {
    /// The device's matrix units for maps of this type, whose products are summed in float32; `None` if it has none.
    pub fn of(client: &Client, dtype: ElemType) -> Option<Self> {
        let properties = client.properties();
        let wide = ElemType::Float(FloatKind::F32);
        let shapes = properties.features.matmul.cmma.iter().filter(|shape| {
            (shape.a_type, shape.b_type, shape.cd_type) == (dtype, dtype, wide) && shape.m == shape.n && shape.n == shape.k
        });
        let largest = shapes.max_by_key(|shape| shape.m)?;
        let side = largest.m as usize;
        let hardware = &properties.hardware;
        Some(Self {
            unit: Unit { rows: side, columns: side, depth: side },
            plane: hardware.plane_size_max as usize,
            shared: hardware.max_shared_memory_size,
            units: hardware.max_units_per_cube as usize,
            processors: hardware.num_streaming_multiprocessors.unwrap_or(64) as usize,
            value: dtype.size(),
        })
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

/// Fragments per plane that are worth trying, `[rows, blocks]`.
const SHAPES: [[usize; 2]; 7] = [[4, 4], [4, 2], [2, 4], [2, 2], [1, 4], [1, 2], [1, 1]];

/// The tile that takes the least time by estimate: its fragments, over how many of them each load from shared memory serves, and
/// rounded up to whole waves of cubes.
pub(super) fn tile(chip: &Chip, geometry: Geometry, transposed: bool, size: Extent) -> Tile {
    let mut best: Option<(f64, Tile)> = None;
    for [rows, blocks] in SHAPES {
        for (down, across) in [(4, 1), (2, 2), (2, 1), (8, 1)] {
            for steps in [2, 1] {
                let tile = Tile { rows, blocks, down, across, steps };
                let form = Form { transposed, ..Form::new(chip.unit, tile, chip.plane, geometry) };
                let shared = form.shared(chip.value);
                if shared > chip.shared || form.units() > chip.units || (steps > 1 && (size.inputs <= chip.unit.depth || shared > chip.shared / 2)) {
                    continue;
                }
                let cubes = size.batch * size.height.div_ceil(form.height()) * size.width.div_ceil(chip.unit.rows) * size.outputs.div_ceil(form.outputs());
                let fragments = (rows * blocks) as f64;
                let loads = (rows + blocks) as f64;
                // Cubes that a multiprocessor runs at once.
                let at_once = (chip.shared * 2 / shared.max(1)).clamp(1, 2);
                let waves = cubes.div_ceil(chip.processors * at_once);
                let time = (waves * form.planes()) as f64 * (fragments + 0.75 * loads);
                if best.is_none_or(|(least, _)| time < least) {
                    best = Some((time, tile));
                }
            }
        }
    }
    best.map_or(Tile { rows: 1, blocks: 1, down: 1, across: 1, steps: 1 }, |(_, tile)| tile)
}

/// How the weight gradient for an input with `size.inputs` channels is divided, and among how many cubes its pixels are. The size
/// is that of the upstream gradient.
pub(super) fn weight_form(chip: &Chip, geometry: Geometry, size: Extent) -> (WeightForm, usize) {
    let (inputs, outputs) = (size.inputs.div_ceil(chip.unit.rows), size.outputs.div_ceil(chip.unit.columns));
    let Geometry { size: kernel, stride, dilation } = geometry;
    let blocks = if kernel == 1 && outputs >= 4 { 4 } else if outputs >= 2 { 2 } else { 1 };
    let down = if inputs >= 2 { 2 } else { 1 };
    let across = (4 / down).min(outputs.div_ceil(blocks).next_power_of_two());
    let mut form =
        WeightForm { unit: chip.unit, plane: chip.plane, size: kernel, stride, dilation, rows: 8, down, across, blocks };
    while form.rows > 1 && (form.shared(chip.value) > chip.shared.min(48 << 10) || form.rows > size.height.next_power_of_two()) {
        form.rows /= 2;
    }
    while form.shared(chip.value) > chip.shared && form.blocks > 1 {
        form.blocks /= 2;
    }
    let tiles = size.batch * size.height.div_ceil(form.rows) * size.width.div_ceil(chip.unit.depth);
    let cubes = size.inputs.div_ceil(form.inputs()) * size.outputs.div_ceil(form.outputs());
    let splits = (4 * chip.processors).div_ceil(cubes).min(tiles).max(1);
    // The sums of all cubes take no more memory than this, unless the gradient itself does.
    let values = cubes * form.inputs() * form.outputs() * form.taps();
    (form, splits.min((MOST / values).max(1)))
}

/// Float32 sums that a weight gradient keeps at most, before they are added up.
const MOST: usize = 1 << 22;
