//! Sizes of tiles and blocks, chosen by measurement: what a thread works on should fit a second cache of 1 MiB.

use super::taps::Pattern;

/// How the work of a convolution or its input gradient is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// About the most pixels of a tile.
    pub(super) pixels: usize,
    /// The most input channels of a chunk.
    pub(super) chunk: usize,
    /// The most blocks of 6 outputs in a piece of work.
    pub(super) group: usize,
}

/// How the work of a weight gradient is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightSizes {
    /// About the most pixels of a tile.
    pub(super) pixels: usize,
    /// The most outputs, and inputs, of a piece of work.
    pub(super) sides: [usize; 2],
}

impl Pattern {
    pub(super) fn sizes(&self) -> Sizes {
        match (self.phases, self.parts().len(), self.most_taps()) {
            // Four phases are read: few channels.
            (4, ..) => Sizes { pixels: 1024, chunk: 24, group: 11 },
            // Four phases are summed: few outputs.
            (_, 4, _) => Sizes { pixels: 512, chunk: 48, group: 6 },
            // One tap: longer chunks, as each loads and stores the sums.
            (.., 1) => Sizes { pixels: 1024, chunk: 64, group: 11 },
            _ => Sizes { pixels: 1024, chunk: 48, group: 11 },
        }
    }

    pub(super) fn weight_sizes(&self) -> WeightSizes {
        match (self.phases, self.most_taps()) {
            // Reading four phases takes longest: each once.
            (4, _) => WeightSizes { pixels: 512, sides: [64, 32] },
            // One tap: reading takes as long as the products.
            (_, 1) => WeightSizes { pixels: 1024, sides: [64, 64] },
            _ => WeightSizes { pixels: 1024, sides: [32, 32] },
        }
    }
}
