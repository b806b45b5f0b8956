//! Sizes of tiles and blocks, chosen by measurement: a thread's working set should fit a 1 MiB L2 cache.

use super::taps::Pattern;

/// How the work of a convolution or its input gradient is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Approximate maximum of pixels per tile.
    pub(super) pixels: usize,
    /// Maximum input channels per chunk.
    pub(super) chunk: usize,
    /// Maximum blocks of 6 outputs per work item.
    pub(super) group: usize,
}

/// How the work of a weight gradient is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightSizes {
    /// Approximate maximum of pixels per tile.
    pub(super) pixels: usize,
    /// Maximum outputs and inputs per work item.
    pub(super) sides: [usize; 2],
}

impl Pattern {
    pub(super) fn sizes(&self) -> Sizes {
        match (self.phases, self.parts().len(), self.most_taps()) {
            // Four phases are read, so take few channels.
            (4, ..) => Sizes { pixels: 1024, chunk: 24, group: 11 },
            // Four phases are summed, so take few outputs.
            (_, 4, _) => Sizes { pixels: 512, chunk: 48, group: 6 },
            // One tap: use longer chunks, since each loads and stores the sums.
            (.., 1) => Sizes { pixels: 1024, chunk: 64, group: 11 },
            _ => Sizes { pixels: 1024, chunk: 48, group: 11 },
        }
    }

    pub(super) fn weight_sizes(&self) -> WeightSizes {
        match (self.phases, self.most_taps()) {
            // Reading the four phases takes longest, so read each only once.
            (4, _) => WeightSizes { pixels: 512, sides: [64, 32] },
            // One tap: reading takes as long as the products.
            (_, 1) => WeightSizes { pixels: 1024, sides: [64, 64] },
            _ => WeightSizes { pixels: 1024, sides: [32, 32] },
        }
    }
}
