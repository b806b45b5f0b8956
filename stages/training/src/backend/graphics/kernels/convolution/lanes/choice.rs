//! Which tiles a convolution is computed in without matrix units.

use pipeline_kernels::Geometry;

use super::super::choice::Extent;
use super::form::{Form, Tile, WeightForm};
use super::launch::DEPTH;

/// What a choice depends on besides the convolution.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Limits {
    /// Bytes of shared memory per cube.
    pub shared: usize,
    /// Units per cube.
    pub units: usize,
    /// Multiprocessors.
    pub processors: usize,
    /// Bytes per value of a map.
    pub value: usize,
}

/// Output channels per unit.
const CHANNELS: usize = 8;

/// Tiles by pixels per unit, units along an image row and on top of each other, in the order in which they are preferred.
const SHAPES: [[usize; 3]; 6] = [[8, 16, 2], [8, 16, 1], [8, 8, 1], [4, 8, 1], [2, 8, 1], [1, 4, 1]];

/// The form that computes a convolution's output of this size, or for a phase the input gradient's: the first of the preferred
/// ones that the device can run and that gives each of its multiprocessors a cube; else the last that it can run.
pub(in super::super) fn form(
    limits: Limits,
    geometry: Geometry,
    extent: Extent,
    [read, written]: [usize; 2],
    phase: Option<[usize; 2]>,
) -> Form {
    let channels = extent.outputs / written;
    let vectors = (CHANNELS / written).min(channels);
    let most = channels.div_ceil(vectors);
    let paced = if phase.is_some() { 1 } else { geometry.stride };
    let depth = |depth: usize| depth.min(extent.inputs.next_multiple_of(if phase.is_some() { DEPTH } else { read }));
    let mut last = None;
    for across in [8, 4, 2, 1] {
        for [rows, wide, down] in SHAPES {
            let across = most.min(across);
            let tile = Tile { rows: rows / paced.min(rows), vectors, across, wide, down, depth: depth(8) };
            for tile in [tile, Tile { depth: depth(4), ..tile }] {
                let form = Form::new(tile, [read, written], geometry, phase);
                let loads = (tile.depth / read..=limits.units).contains(&form.units());
                if loads && form.shared(limits.value) <= limits.shared {
                    let [height, width] = [extent.height, extent.width].map(|pixels| pixels.div_ceil(form.factor()));
                    let cubes = extent.batch * height.div_ceil(form.height()) * width.div_ceil(wide);
                    if cubes * most.div_ceil(across) >= limits.processors {
                        return form;
                    }
                    last = Some(form);
                }
            }
        }
    }
    let least = Tile { rows: 1, vectors: 1, across: 1, wide: 1, down: 1, depth: DEPTH };
    last.unwrap_or_else(|| Form::new(least, [read, written], geometry, phase))
}

/// How the weight gradient for an input with `extent.inputs` channels is divided, and among how many cubes its pixels are. The
/// extent is that of the upstream gradient.
pub(in super::super) fn weight_form(
    limits: Limits,
    geometry: Geometry,
    extent: Extent,
    [read, upstream_read]: [usize; 2],
) -> (WeightForm, usize) {
    let Geometry { size, stride, dilation } = geometry;
    let (ins, outs) = (extent.inputs / read, extent.outputs / upstream_read);
    let vectors = if size == 1 { 2.min(ins) } else { 1 };
    let upstream_vectors = (CHANNELS / upstream_read).min(outs);
    let mut form = WeightForm {
        read,
        upstream_read,
        vectors,
        upstream_vectors,
        down: ins.div_ceil(vectors).min(8),
        across: outs.div_ceil(upstream_vectors).min(4),
        parts: 1,
        width: 16,
        height: 8,
        segment: 4,
        size,
        stride,
        dilation,
    };
    let fits = |form: &WeightForm| form.shared(limits.value) <= limits.shared && form.units() <= limits.units;
    while !fits(&form) && form.width > 4 {
        form.width /= 2;
    }
    while !fits(&form) && form.height > 2 {
        form.height /= 2;
    }
    while !fits(&form) && form.down > 1 {
        form.down = form.down.div_ceil(2);
    }
    while !fits(&form) && form.across > 1 {
        form.across = form.across.div_ceil(2);
    }
    while !fits(&form) && form.height > 1 {
        form.height /= 2;
    }
    while 2 * form.parts <= form.height && form.units() < 64 && 2 * form.units() <= limits.units {
        form.parts *= 2;
    }
    let tiles = extent.batch * extent.height.div_ceil(form.height) * extent.width.div_ceil(form.width);
    let cubes = extent.inputs.div_ceil(form.inputs()) * extent.outputs.div_ceil(form.outputs());
    let splits = (4 * limits.processors).div_ceil(cubes).min(tiles).max(1);
    // The sums of all cubes take no more memory than this, unless the gradient itself does.
    let values = cubes * form.inputs() * form.outputs() * size * size * form.parts;
    (form, splits.min((MOST / values).max(1)))
}

/// Float32 sums that a weight gradient keeps at most, before they are added up.
const MOST: usize = 1 << 22;
