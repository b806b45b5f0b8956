//! How a convolution is divided among cubes and units without matrix units.

use super::super::form::Staging;

/// The longest vectors of channels. The packed outputs are a multiple of this many.
pub(super) const DEPTH: usize = 4;

/// Bytes per value in shared memory: all are float32 there.
const VALUE: usize = 4;

/// What one unit computes of a convolution's output: some pixels, one below the other, by some channel vectors; and how a cube's
/// units lie next to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    /// Pixels per unit.
    pub rows: usize,
    /// Channel vectors per unit.
    pub vectors: usize,
    /// Units along the output channels.
    pub across: usize,
    /// Units along an image row; a power of two.
    pub wide: usize,
    /// Units on top of each other; a power of two.
    pub down: usize,
    /// Input channels per load of shared memory.
    pub depth: usize,
}

/// Everything that a kernel's code depends on besides its types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Form {
    pub tile: Tile,
    /// Channels per vector of an input, and of the output.
    pub read: usize,
    pub written: usize,
    /// Kernel size, stride and dilation.
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
    /// For an input gradient, the row and column of the pixels that it computes in each block of `stride` by `stride`.
    pub phase: Option<[usize; 2]>,
}

/// The rows of a kernel, or its columns, that a form's pixels read. An input gradient reads them backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Taps {
    pub count: usize,
    /// The first one's place in the kernel, and places from one to the next.
    pub first: usize,
    pub step: usize,
    /// Pixels that the input's part begins before the output's.
    pub before: usize,
    /// The first one's place in that part, and pixels from one to the next.
    pub start: usize,
    pub ahead: usize,
}

impl Taps {
    /// The last one's place in the input's part, plus one.
    fn reach(self) -> usize {
        self.start + self.count.saturating_sub(1) * self.ahead + 1
    }
}

impl Form {
    /// The kernel's rows (axis 0) or columns (axis 1) that are read.
    pub(super) fn taps(&self, axis: usize) -> Taps {
        let &Self { size, stride, dilation, .. } = self;
        let padding = dilation * (size - 1) / 2;
        let Some(phase) = self.phase else {
            return Taps { count: size, first: 0, step: 1, before: padding, start: 0, ahead: dilation };
        };
        // The input pixel `y` is read through the kernel's row `k` by the output pixel `(y + padding - k * dilation) / stride`,
        // if that is whole: here counted from `size` blocks further up, so that nothing is negative.
        let from = |k: usize| size * stride * dilation + phase[axis] + padding - k * dilation;
        let read: Vec<usize> = (0..size).rev().filter(|&k| from(k).is_multiple_of(stride)).collect();
        let places: Vec<usize> = read.iter().map(|&k| from(k) / stride).collect();
        let origin = places.first().map_or(size * dilation, |&place| place.min(size * dilation));
        let apart = |values: &[usize]| if let [a, b, ..] = values { a.abs_diff(*b) } else { 1 };
        Taps {
            count: read.len(),
            first: read.first().copied().unwrap_or(0),
            step: apart(&read),
            before: size * dilation - origin,
            start: places.first().map_or(0, |&place| place - origin),
            ahead: apart(&places),
        }
    }

    /// Input pixels from one output pixel to the next.
    pub fn pace(&self) -> usize {
        if self.phase.is_some() { 1 } else { self.stride }
    }

    /// Pixels of the map from one that is computed to the next.
    pub fn factor(&self) -> usize {
        if self.phase.is_some() { self.stride } else { 1 }
    }

    pub fn units(&self) -> usize {
        self.tile.across * self.tile.wide * self.tile.down
    }

    /// Output rows per cube.
    pub fn height(&self) -> usize {
        self.tile.rows * self.tile.down
    }

    /// Output channels per cube.
    pub fn outputs(&self) -> usize {
        self.tile.across * self.tile.vectors * self.written
    }

    /// Input pixels that a unit reads for one of the kernel's columns.
    pub fn line(&self) -> usize {
        (self.tile.rows - 1) * self.pace() + self.taps(0).reach()
    }

    /// The part of an input that a cube reads at once.
    pub fn staging(&self) -> Staging {
        Staging {
            width: (self.tile.wide - 1) * self.pace() + self.taps(1).reach(),
            height: (self.height() - 1) * self.pace() + self.taps(0).reach(),
            depth: self.tile.depth,
            units: self.units(),
            value: VALUE,
        }
    }

    /// Weights in shared memory.
    pub fn weights(&self) -> usize {
        self.taps(0).count * self.taps(1).count * self.tile.depth * self.outputs()
    }

    /// Whether a device with this many units per cube, and bytes of shared memory, can run it.
    pub fn runs(&self, units: usize, shared: usize) -> bool {
        // A pixel's channels are loaded at once.
        (self.tile.depth / self.read..=units).contains(&self.units()) && self.shared() <= shared
    }

    /// Bytes of shared memory.
    pub fn shared(&self) -> usize {
        let moments = self.units() * (2 * self.written + 1) * VALUE;
        self.staging().length() * VALUE + self.weights() * VALUE + moments
    }
}

/// How the gradient of a convolution's weights is divided: a cube sums over tiles of pixels, for some input and output channels
/// and all taps. A unit has one row of the kernel, some input and output channel vectors, and some of a tile's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct WeightForm {
    /// Channels per vector of the input, and of the upstream gradient.
    pub read: usize,
    pub upstream_read: usize,
    /// Input and output channel vectors per unit.
    pub vectors: usize,
    pub upstream_vectors: usize,
    /// Units along the input channels, and along the output channels.
    pub down: usize,
    pub across: usize,
    /// Units that divide a tile's rows among themselves.
    pub parts: usize,
    /// Pixels of the upstream gradient per tile.
    pub width: usize,
    pub height: usize,
    /// Neighbouring pixels that a unit handles in one go; divides `width`.
    pub segment: usize,
    /// Kernel size, stride and dilation.
    pub size: usize,
    pub stride: usize,
    pub dilation: usize,
}

impl WeightForm {
    pub fn units(&self) -> usize {
        self.size * self.down * self.across * self.parts
    }

    /// Zeros around the image.
    pub fn padding(&self) -> usize {
        self.dilation * (self.size - 1) / 2
    }

    /// Input channels per cube.
    pub fn inputs(&self) -> usize {
        self.down * self.vectors * self.read
    }

    /// Output channels per cube.
    pub fn outputs(&self) -> usize {
        self.across * self.upstream_vectors * self.upstream_read
    }

    /// Input pixels from the first that a segment reads to the last, plus one.
    pub fn line(&self) -> usize {
        (self.segment - 1) * self.stride + self.dilation * (self.size - 1) + 1
    }

    /// The part of the input that a cube reads at once.
    pub fn input(&self) -> Staging {
        let reach = self.dilation * (self.size - 1) + 1;
        Staging {
            width: (self.width - 1) * self.stride + reach,
            height: (self.height - 1) * self.stride + reach,
            depth: self.inputs(),
            units: self.units(),
            value: VALUE,
        }
    }

    /// The part of the upstream gradient that a cube reads at once.
    pub fn upstream(&self) -> Staging {
        Staging { width: self.width, height: self.height, depth: self.outputs(), units: self.units(), value: VALUE }
    }

    /// Bytes of shared memory.
    pub fn shared(&self) -> usize {
        (self.input().length() + self.upstream().length()) * VALUE
    }
}
