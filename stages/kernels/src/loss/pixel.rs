//! The values that the binary terms need for a pixel.

/// A logit and the values derived from it, without overflow or cancellation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pixel {
    /// The logit.
    pub z: f32,
    /// Whether the mask is 1.
    pub on: bool,
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
        Self { z, on: y != 0, p, q, decay }
    }

    /// `-ln` of the probability of the true class: `max(z, 0) - z y + ln(1 + exp(-|z|))`.
    #[inline(always)]
    pub fn entropy(self) -> f32 {
        self.entropies()[0]
    }

    /// `-ln` of the probabilities of the true class and of the wrong one.
    #[inline(always)]
    pub fn entropies(self) -> [f32; 2] {
        // Not `f32::max`, and no product is skipped: non-finite values have to reach the loss.
        let above = if self.z < 0.0 { 0.0 } else { self.z };
        let (y, rest) = (self.of([0.0, 1.0]), self.decay.ln_1p());
        [above - self.z * y + rest, above - self.z * (1.0 - y) + rest]
    }

    /// Picks from a pair, for background and for the mask, the value that applies to this pixel.
    #[inline(always)]
    pub fn of(self, pair: [f32; 2]) -> f32 {
        // No branch: masks have no pattern that a branch predictor could learn.
        pair[usize::from(self.on)]
    }
}
