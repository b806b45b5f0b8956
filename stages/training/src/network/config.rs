//! The size of a U-Net and its bounds, checked before a layer is made.
//! The layers are in `unet`.

use pipeline_contract::{Result, StageError};

use super::NormKind;

/// The norms by name.
pub(crate) const NORMS: &[&str] = &["group", "batch", "instance"];

/// The size of a U-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UNetConfig {
    /// Channels of the first level; each level below has twice as many. 1 to 512.
    pub base: usize,
    /// How many levels. 1 to 8.
    pub depth: usize,
    /// The norm after each 3x3 convolution.
    pub norm: NormKind,
}

impl UNetConfig {
    /// A configuration within the bounds.
    ///
    /// # Errors
    /// When base or depth is out of bounds, or the norm has another name.
    pub fn new(base: usize, depth: usize, norm: &str) -> Result<Self> {
        let norm =
            [NormKind::Group, NormKind::Batch, NormKind::Instance].into_iter().find(|kind| kind.name() == norm).ok_or_else(
                || StageError::new(format!("there is no norm named {norm:?}")).help(format!("one of {}", NORMS.join(", "))),
            )?;
        if !(1..=512).contains(&base) || !(1..=8).contains(&depth) {
            return Err(StageError::new(format!("a U-Net of base {base} and depth {depth} is out of bounds"))
                .help("base is 1 to 512, depth 1 to 8"));
        }
        // Group norm needs whole groups at every level: min(8, channels) divides base << k for all k when it does for base.
        if norm == NormKind::Group && (0..depth).any(|level| !(base << level).is_multiple_of((base << level).min(8))) {
            return Err(StageError::new(format!("group norm can't divide {base} << level channels into 8 groups"))
                .help("take a base of 1, 2, 4 or a multiple of 8"));
        }
        Ok(Self { base, depth, norm })
    }

    /// Height and width of an image must be multiples of this: the network halves them `depth - 1` times.
    pub fn stride(&self) -> usize {
        1 << (self.depth - 1)
    }
}
