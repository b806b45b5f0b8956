//! Which tiles a convolution is computed in without matrix units.

use pipeline_kernels::Geometry;

use super::super::choice::{Chip, Extent};
use super::form::{DEPTH, Form, Tile, WeightForm};

/// Tiles by pixels per unit, units along an image row, and units on top of each other, in the order in which they are preferred.
/// (More pixels per unit are faster still in software, by a quarter, but take its compiler twice as long.)
const SHAPES: [[usize; 3]; 5] = [[8, 16, 2], [8, 16, 1], [4, 8, 1], [2, 8, 1], [1, 4, 1]];

/// Whether the device computes in software. Its planes are vectors of a processor, its registers are memory, and each of a plane's
/// units loads from shared memory in turn: the more sums a unit has for each value that it loads, the better.
fn software(chip: &Chip) -> bool {
    chip.plane <= 8
}

/// Cubes that keep a device busy.
fn busy(chip: &Chip) -> usize {
    if software(chip) { 8 } else { chip.processors }
}

/// The form that computes a convolution's output of this size, or for a phase the input gradient's: the first of the preferred
/// ones that the device can run and that makes it busy; else the last that it can run.
pub(super) fn form(
    chip: &Chip,
    geometry: Geometry,
    extent: Extent,
    [read, written]: [usize; 2],
    phase: Option<[usize; 2]>,
) -> Form {
    let Geometry { size, stride, dilation } = geometry;
    let channels = if software(chip) { 16 } else { 8 };
    let vectors = (channels / written).min(extent.outputs / written);
    let blocks = (extent.outputs / written).div_ceil(vectors);
    let pace = if phase.is_some() { 1 } else { stride };
    let [height, width] = [extent.height, extent.width].map(|pixels| pixels.div_ceil(if phase.is_some() { stride } else { 1 }));
    let step = if phase.is_some() { DEPTH } else { read };
    let depth = |most: usize| most.min(extent.inputs.next_multiple_of(step));
    let mut last = None;
    // Blocks of channels that share an input tile, at first at least this many.
    for least in if software(chip) { [1, 1] } else { [4, 1] } {
        for [rows, wide, down] in SHAPES {
            for across in [8, 4, 2, 1].into_iter().filter(|across| *across >= least).map(|across| blocks.min(across)) {
                for depth in [8, 4].map(depth) {
                    let tile = Tile { rows: rows.div_ceil(pace), vectors, across, wide, down, depth };
                    let form = Form { tile, read, written, size, stride, dilation, phase };
                    if form.runs(chip.units, chip.shared) && form.height() <= 2 * height {
                        let tiles = extent.batch * height.div_ceil(form.height()) * width.div_ceil(wide);
                        if tiles * blocks.div_ceil(across) >= busy(chip) {
                            return form;
                        }
                        last = Some(form);
                    }
                }
            }
        }
    }
    let least = Tile { rows: 1, vectors: 1, across: 1, wide: 4, down: 2, depth: step };
    last.unwrap_or(Form { tile: least, read, written, size, stride, dilation, phase })
}

/// How the weight gradient for an input with `extent.inputs` channels is divided, and among how many cubes its pixels are. The
/// extent is that of the upstream gradient.
pub(super) fn weight_form(
    chip: &Chip,
    geometry: Geometry,
    extent: Extent,
    [read, upstream_read]: [usize; 2],
) -> (WeightForm, usize) {
    let Geometry { size, stride, dilation } = geometry;
    let (inputs, outputs) = (extent.inputs / read, extent.outputs / upstream_read);
    let (vectors, channels, segment) = match size {
        _ if software(chip) => (2, 16, 4),
        1 => (2, 8, 4),
        _ => (1, 8, 4),
    };
    let vectors = vectors.min(inputs);
    let upstream_vectors = (channels / upstream_read).min(outputs);
    let mut form = WeightForm {
        read,
        upstream_read,
        vectors,
        upstream_vectors,
        down: inputs.div_ceil(vectors).min(8 / vectors),
        across: outputs.div_ceil(upstream_vectors).min(4),
        parts: 1,
        width: 16,
        height: 8,
        segment,
        size,
        stride,
        dilation,
    };
    let fits = |form: &WeightForm| form.shared() <= chip.shared && form.units() <= chip.units;
    // Smaller tiles first, then fewer channels.
    while !fits(&form) {
        match form {
            WeightForm { width: 16, .. } => form.width = 8,
            WeightForm { height: 4.., .. } => form.height /= 2,
            WeightForm { across: 2.., .. } => form.across = form.across.div_ceil(2),
            WeightForm { down: 2.., .. } => form.down = form.down.div_ceil(2),
            WeightForm { upstream_vectors: 2.., .. } => form.upstream_vectors = form.upstream_vectors.div_ceil(2),
            WeightForm { height: 2.., .. } => form.height /= 2,
            _ => break,
        }
    }
    let loads = |form: &WeightForm| form.units() >= form.down * vectors && form.units() >= form.across * upstream_vectors;
    while form.parts < form.height && (form.units() < 64 || !loads(&form)) && 2 * form.units() <= chip.units {
        form.parts *= 2;
    }
    while !loads(&form) && form.across > 1 {
        form.across = form.across.div_ceil(2);
    }
    let tiles = extent.batch * extent.height.div_ceil(form.height) * extent.width.div_ceil(form.width);
    let cubes = extent.inputs.div_ceil(form.inputs()) * extent.outputs.div_ceil(form.outputs());
    let splits = (4 * busy(chip)).div_ceil(cubes);
    // The sums of all cubes take no more memory than this, unless the gradient itself does.
    let values = cubes * form.inputs() * form.outputs() * size * size * form.parts;
    (form, splits.min(tiles).min(MOST / values).max(1))
}

/// Float32 sums that a weight gradient keeps at most, before they are added up.
const MOST: usize = 1 << 21;
