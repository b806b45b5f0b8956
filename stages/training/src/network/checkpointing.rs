//! Gradient checkpointing: what the backward pass computes again instead of keeping it (Chen et al., "Training Deep Nets with
//! Sublinear Memory Cost", 2016).

/// What the backward pass computes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checkpointing {
    /// Nothing: every map that the backward pass reads is kept. (Norms and their activations are applied where their result is
    /// read; it is never stored.)
    None,
    /// The inside of each block: only maps that other blocks read are kept.
    Blocks,
    /// As `Blocks`; cheap maps (of poolings, upsamplings, sums) are also freed after each use while a block is computed again.
    Full,
}

impl Checkpointing {
    /// Their names in files, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &["none", "blocks", "full"];

    /// All of them, the one that holds most first.
    pub const ALL: [Self; 3] = [Self::None, Self::Blocks, Self::Full];

    /// The mode of a name in a file.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
