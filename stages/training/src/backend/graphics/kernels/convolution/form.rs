//! How a convolution is divided among cubes, planes and matrix units.

use pipeline_kernels::Geometry;
use serde::{Deserialize, Serialize};

/// The shape of a matrix unit's product: `[rows, depth] x [depth, columns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Unit {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Bytes per value that is multiplied.
    pub value: usize,
}

/// A part of a map in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Staging {
    pub width: usize,
    pub height: usize,
    /// Channels.
    pub depth: usize,
    /// Units that load it.
    pub units: usize,
    /// Bytes per value.
    pub value: usize,
}

impl Staging {
    /// Values from one pixel to the next: an odd multiple of 16 bytes, so that a fragment's rows lie in different banks.
    pub fn pitch(&self) -> usize {
        odd(self.depth, self.value)
    }

    /// Values.
    pub fn length(&self) -> usize {
        self.width * self.height * self.pitch()
    }
}

/// What one cube computes of a convolution's output: `Unit::rows` pixels of some image rows, by some channels. A fragment's rows
/// are neighbouring pixels of one image row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub(in super::super) struct Tile {
    /// Image rows per plane.
    pub rows: usize,
    /// Fragments of output channels per plane.
    pub blocks: usize,
    /// Planes on top of each other: image rows.
    pub down: usize,
    /// Planes side by side: output channels.
    pub across: usize,
    /// Products of depth `Unit::depth` per load of shared memory: input channels.
    pub steps: usize,
}

/// Everything that a kernel's code depends on besides its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Form {
    pub unit: Unit,
    pub tile: Tile,
    /// Units per plane.
    pub plane: usize,
    /// Kernel size, stride and dilation.
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Whether the weights are read transposed and rotated: the convolution's input gradient.
    pub transposed: bool,
    /// Whether each block of output channels belongs to one tap of a 2x2 window, whose pixel it writes: the input gradient of a 2x2
    /// convolution with stride 2, which is the transposed convolution. The kernel's own size is 1 then.
    pub scatter: bool,
}

impl Form {
    pub fn new(unit: Unit, tile: Tile, plane: usize, geometry: Geometry) -> Self {
        let Geometry { size, stride, dilation } = geometry;
        Self { unit, tile, plane, size, stride, dilation, transposed: false, scatter: false }
    }

    /// The form of a 2x2 transposed convolution with stride 2.
    pub fn scattered(unit: Unit, tile: Tile, plane: usize) -> Self {
        Self { transposed: true, scatter: true, ..Self::new(unit, tile, plane, Geometry::ONE) }
    }

    /// Output pixels along a side for each pixel that is computed.
    pub fn factor(&self) -> usize {
        if self.scatter { 2 } else { 1 }
    }

    pub fn planes(&self) -> usize {
        self.tile.down * self.tile.across
    }

    pub fn units(&self) -> usize {
        self.planes() * self.plane
    }

    pub fn taps(&self) -> usize {
        self.size * self.size
    }

    /// Zeros around the image.
    pub fn padding(&self) -> usize {
        self.dilation * (self.size - 1) / 2
    }

    /// Output rows per cube.
    pub fn height(&self) -> usize {
        self.tile.down * self.tile.rows
    }

    /// Output channels per cube.
    pub fn outputs(&self) -> usize {
        self.tile.across * self.plane_outputs()
    }

    /// Output channels per plane.
    pub fn plane_outputs(&self) -> usize {
        self.tile.blocks * self.unit.columns
    }

    /// Input channels per load of shared memory.
    pub fn depth(&self) -> usize {
        self.tile.steps * self.unit.depth
    }

    /// The part of an input that a cube reads at once.
    pub fn staging(&self) -> Staging {
        let reach = self.dilation * (self.size - 1) + 1;
        Staging {
            width: (self.unit.rows - 1) * self.stride + reach,
            height: (self.height() - 1) * self.stride + reach,
            depth: self.depth(),
            units: self.units(),
            value: self.unit.value,
        }
    }

    /// Rows of the weights in shared memory.
    pub fn weight_rows(&self) -> usize {
        self.taps() * if self.transposed { self.outputs() } else { self.depth() }
    }

    /// Values of one such row.
    pub fn weight_columns(&self) -> usize {
        if self.transposed { self.depth() } else { self.outputs() }
    }

    /// Values from one row of the weights to the next in shared memory.
    pub fn weight_pitch(&self) -> usize {
        odd(self.weight_columns(), self.unit.value)
    }

    /// Bytes of shared memory at most: with partial statistics, and with vectors of this many output channels.
    pub fn shared(&self, vector: usize) -> usize {
        let value = self.unit.value;
        let tile = self.staging().length() * value;
        let weights = self.weight_rows() * self.weight_pitch() * value;
        let bounce = self.planes() * self.unit.rows * self.bounce_pitch(vector) * 4;
        let statistics = self.units() * 4 * (2 * vector + 1);
        // Each array begins at a multiple of 32 bytes.
        tile + weights + bounce + statistics + 6 * 32
    }

    /// Float32 values from one pixel of a plane's output to the next in shared memory, in vectors of this many.
    pub fn bounce_pitch(&self, vector: usize) -> usize {
        self.plane_outputs() + vector.max(4)
    }
}

/// How the gradient of a convolution's weights is divided: a cube sums over tiles of some pixels of some image rows, for
/// some input and output channels and all taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct WeightForm {
    /// Rows: input channels; columns: output channels; depth: pixels.
    pub unit: Unit,
    /// Units per plane.
    pub plane: usize,
    /// Kernel size, stride and dilation.
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Image rows per tile.
    pub rows: usize,
    /// Products of depth `Unit::depth` along an image row of a tile.
    pub steps: usize,
    /// Planes along the input channels, one fragment each.
    pub down: usize,
    /// Planes along the output channels.
    pub across: usize,
    /// Fragments of output channels per plane.
    pub blocks: usize,
}

impl WeightForm {
    pub fn planes(&self) -> usize {
        self.down * self.across
    }

    pub fn taps(&self) -> usize {
        self.size * self.size
    }

    /// Zeros around the image.
    pub fn padding(&self) -> usize {
        self.dilation * (self.size - 1) / 2
    }

    /// Pixels of an image row per tile.
    pub fn width(&self) -> usize {
        self.steps * self.unit.depth
    }

    /// Input channels per cube.
    pub fn inputs(&self) -> usize {
        self.down * self.unit.rows
    }

    /// Output channels per cube.
    pub fn outputs(&self) -> usize {
        self.across * self.blocks * self.unit.columns
    }

    /// The part of the input that a cube reads at once.
    pub fn input(&self) -> Staging {
        let reach = self.dilation * (self.size - 1) + 1;
        Staging {
            width: (self.width() - 1) * self.stride + reach,
            height: (self.rows - 1) * self.stride + reach,
            depth: self.inputs(),
            units: self.planes() * self.plane,
            value: self.unit.value,
        }
    }

    /// The part of the upstream gradient that a cube reads at once.
    pub fn upstream(&self) -> Staging {
        Staging {
            width: self.width(),
            height: self.rows,
            depth: self.outputs(),
            units: self.planes() * self.plane,
            value: self.unit.value,
        }
    }

    /// Bytes of shared memory.
    pub fn shared(&self) -> usize {
        (self.input().length() + self.upstream().length()) * self.unit.value
    }
}

/// The next odd multiple of 16 bytes, in values of this many bytes.
fn odd(values: usize, value: usize) -> usize {
    let step = 16 / value;
    let steps = values.div_ceil(step);
    step * if steps.is_multiple_of(2) { steps + 1 } else { steps }
}
