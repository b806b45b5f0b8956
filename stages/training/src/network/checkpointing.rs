//! Gradient checkpointing: what the backward pass recomputes instead of keeping (Chen et al., "Training Deep Nets with Sublinear
//! Memory Cost", 2016).

/// What the backward pass recomputes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checkpointing {
    /// Nothing: every map that the backward pass reads is kept. (Norms and their activations are applied when their result is
    /// read; it is never stored.)
    None,
    /// The inside of each block: only maps that other blocks read are kept.
    Blocks,
    /// As `Blocks`; cheap maps (from pooling, upsampling and sums) are also freed after each use while a block is recomputed.
    Full,
}

impl Checkpointing {
    /// The names of the modes in files, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["none", "blocks", "full"];

    /// All modes, starting with the one that keeps the most.
    pub const ALL: [Self; 3] = [Self::None, Self::Blocks, Self::Full];

    /// The mode with this name in files.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// The mode's name in files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
