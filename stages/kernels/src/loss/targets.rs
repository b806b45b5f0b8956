//! What a loss compares the logits with.

/// What the logits are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// `[batch, height, width]`: class numbers; or with one class the mask's share of each pixel, in 255ths.
    pub labels: &'a [u8],
    /// Channels of the logits: 1 for binary terms, 2 or more for multi-class terms.
    pub classes: usize,
    /// The label of pixels that multi-class terms ignore, usually 255. Binary terms don't read it.
    pub ignore: Option<u8>,
}
