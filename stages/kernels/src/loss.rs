//! The losses, each with the gradient of the logits. Always float32, whatever maps are stored in.

use rayon::prelude::*;

/// Keeps Dice defined on empty masks; MONAI's `DiceLoss` default.
const EPSILON: f64 = 1e-5;

/// Pixels of a task.
const PART: usize = 4096;

/// The loss between logits and masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// Mean binary cross-entropy with logits, plus soft Dice.
    BceDice,
    /// Mean binary cross-entropy with logits (torch.nn.BCEWithLogitsLoss).
    Bce,
    /// Soft Dice of a sample: `1 - (2 sum(p y) + eps) / (sum(p) + sum(y) + eps)` (MONAI `DiceLoss(sigmoid=True)`).
    Dice,
}

impl LossKind {
    fn entropy(self) -> f64 {
        if self == Self::Dice { 0.0 } else { 1.0 }
    }

    fn overlap(self) -> f64 {
        if self == Self::Bce { 0.0 } else { 1.0 }
    }
}

/// Writes each sample's loss, and over the logits the gradient of `scale` times the sum of the losses.
///
/// `z` (logits) and `y` (masks: 1 where not zero) are `[batch, pixels]`, `losses` is `[batch]`.
///
/// # Panics
/// When sizes disagree, or samples are empty.
pub fn loss(kind: LossKind, z: &mut [f32], y: &[u8], batch: usize, scale: f32, losses: &mut [f32]) {
    assert_eq!(z.len(), y.len(), "a mask for each logit");
    assert_eq!(losses.len(), batch, "a loss for each sample");
    assert!(batch > 0 && z.len().is_multiple_of(batch), "samples of one size");
    let pixels = z.len() / batch;
    for ((z, y), loss) in z.chunks_mut(pixels).zip(y.chunks(pixels)).zip(losses) {
        let sums = sums(kind, z, y);
        let ratio = (2.0 * sums.overlap + EPSILON) / (sums.total + EPSILON);
        *loss = (kind.entropy() * sums.entropy / pixels as f64 + kind.overlap() * (1.0 - ratio)) as f32;
        let scale = f64::from(scale);
        let slopes = Slopes {
            entropy: (scale * kind.entropy() / pixels as f64) as f32,
            probability: (scale * kind.overlap() * ratio / (sums.total + EPSILON)) as f32,
            overlap: (scale * kind.overlap() * 2.0 / (sums.total + EPSILON)) as f32,
        };
        z.par_chunks_mut(PART).zip(y.par_chunks(PART)).for_each(|(z, y)| slopes.write(z, y));
    }
}

/// A logit's probability, that of the other class, and `exp(-|z|)`: none overflows or loses small values.
fn chances(z: f32) -> [f32; 3] {
    let decay = (-z.abs()).exp();
    let (large, small) = (1.0 / (1.0 + decay), decay / (1.0 + decay));
    if z >= 0.0 { [large, small, decay] } else { [small, large, decay] }
}

/// Sums over a sample.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    /// Of `max(z, 0) - z y + ln(1 + exp(-|z|))`.
    entropy: f64,
    /// Of `p y`.
    overlap: f64,
    /// Of `p + y`.
    total: f64,
}

fn sums(kind: LossKind, z: &[f32], y: &[u8]) -> Sums {
    let parts = z.par_chunks(PART).zip(y.par_chunks(PART)).map(|(z, y)| {
        let mut sums = Sums::default();
        for (&z, &y) in z.iter().zip(y) {
            let y = if y == 0 { 0.0 } else { 1.0 };
            let [p, _, decay] = chances(z);
            if kind != LossKind::Dice {
                // Not `f32::max`: a NaN has to reach the loss.
                let above = if z < 0.0 { 0.0 } else { z };
                sums.entropy += f64::from(above - z * y + decay.ln_1p());
            }
            sums.overlap += f64::from(p * y);
            sums.total += f64::from(p + y);
        }
        sums
    });
    let parts: Vec<Sums> = parts.collect();
    parts.iter().fold(Sums::default(), |all, part| Sums {
        entropy: all.entropy + part.entropy,
        overlap: all.overlap + part.overlap,
        total: all.total + part.total,
    })
}

/// What the gradient of a sample is made of.
#[derive(Debug, Clone, Copy)]
struct Slopes {
    /// Of `p - y`.
    entropy: f32,
    /// Of `p (1 - p)`.
    probability: f32,
    /// Of `-y p (1 - p)`.
    overlap: f32,
}

impl Slopes {
    fn write(self, z: &mut [f32], y: &[u8]) {
        for (z, &y) in z.iter_mut().zip(y) {
            let [p, q, _] = chances(*z);
            let (difference, overlap) = if y == 0 { (p, 0.0) } else { (-q, self.overlap) };
            *z = self.entropy * difference + (self.probability - overlap) * (p * q);
        }
    }
}
