//! What a loss compares logits with.

/// What the logits are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// `[batch, height, width]`: class numbers; with one class a mask, 1 where not zero.
    pub labels: &'a [u8],
    /// Channels of the logits: 1 for binary terms, 2 or more for multi-class terms.
    pub classes: usize,
    /// The label of pixels that multi-class terms leave out, usually 255. Binary terms don't read it.
    pub ignore: Option<u8>,
}
