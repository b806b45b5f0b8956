//! The values that the binary terms need for a pixel.

/// The mask's part of a pixel, from 255ths.
#[inline(always)]
pub(super) fn share(y: u8) -> f32 {
    f32::from(y) / 255.0
}

/// A logit and the values derived from it, without overflow or cancellation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    /// The logit.
    pub z: f32,
    /// The mask's part of the pixel, 0 to 1.
    pub y: f32,
    /// `sigmoid(z)`.
    pub p: f32,
    /// `1 - p`.
    pub q: f32,
    /// `exp(-|z|)`.
    decay: f32,
}

impl Pixel {
    #[inline(always)]
    pub fn new(z: f32, y: u8) -> Self {
        let decay = (-z.abs()).exp();
        let (large, small) = (1.0 / (1.0 + decay), decay / (1.0 + decay));
        let (p, q) = if z >= 0.0 { (large, small) } else { (small, large) };
        Self { z, y: share(y), p, q, decay }
    }

    /// `-ln` of the probabilities of the background and of the mask: `max(z, 0) + ln(1 + exp(-|z|))`, and the same less `z`.
    #[inline(always)]
    pub fn entropies(self) -> [f32; 2] {
        // Not `f32::max`: non-finite values have to reach the loss.
        let above = if self.z < 0.0 { 0.0 } else { self.z };
        let rest = self.decay.ln_1p();
        [above + rest, above - self.z + rest]
    }

    /// Whether more of the probability would be right: it is below the mask's part of the pixel. Always so on the mask, never beside it.
    #[inline(always)]
    pub fn wants_more(self) -> bool {
        self.p < self.y || self.y == 1.0
    }

    /// The mean over the pixel of a pair's values, for the background and for the mask.
    #[inline(always)]
    pub fn of(self, [background, mask]: [f32; 2]) -> f32 {
        // No branch: masks have no pattern that a branch predictor could learn. No product is skipped, so that non-finite values
        // reach the loss.
        (1.0 - self.y) * background + self.y * mask
    }
}
