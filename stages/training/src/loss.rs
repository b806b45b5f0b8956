//! The losses, each with the gradient of the logits. Always float32, whatever the network computes in.
//! A window's mean over samples is made elsewhere: here every sample has its own loss.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use pipeline_contract::{Result, StageError};
use pipeline_kernels::LossKind;

/// The loss between logits and masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Mean binary cross-entropy with logits, plus soft Dice.
    BceDice,
    /// Mean binary cross-entropy with logits.
    Bce,
    /// Soft Dice of a sample: `1 - (2 sum(p y) + eps) / (sum(p) + sum(y) + eps)` (MONAI `DiceLoss(sigmoid=True)`).
    Dice,
}

pub(crate) const LOSSES: &[&str] = &["bce_dice", "bce", "dice"];

impl Loss {
    /// Keeps Dice defined on empty masks; MONAI's `DiceLoss` default.
    pub(crate) const EPSILON: f64 = 1e-5;

    /// The loss of a name in a file.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "bce_dice" => Ok(Self::BceDice),
            "bce" => Ok(Self::Bce),
            "dice" => Ok(Self::Dice),
            _ => Err(StageError::new(format!("there is no loss named {name:?}")).help(format!("one of {}", LOSSES.join(", ")))),
        }
    }

    /// For logits `z`, masks `y` (0 or 1) and probabilities `p`, each `[batch, pixels]`: the loss of each sample,
    /// `[batch, 1]`, and the gradient of their SUM.
    pub(crate) fn evaluate(self, z: Tensor<2>, y: &Tensor<2>, p: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Bce => cross_entropy(z, y, &p),
            Self::Dice => dice(y, &p),
            Self::BceDice => {
                let (entropy, overlap) = (cross_entropy(z, y, &p), dice(y, &p));
                (entropy.0 + overlap.0, entropy.1 + overlap.1)
            }
        }
    }

    /// The same loss among the CPU's kernels.
    pub(crate) fn kernel(self) -> LossKind {
        match self {
            Self::Bce => LossKind::Bce,
            Self::Dice => LossKind::Dice,
            Self::BceDice => LossKind::BceDice,
        }
    }
}

/// `max(z, 0) - z y + ln(1 + exp(-|z|))`, which neither overflows nor loses small values; its derivative is `p - y`.
fn cross_entropy(z: Tensor<2>, y: &Tensor<2>, p: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let pixels = z.dims()[1] as f64;
    let terms = relu(z.clone()) - z.clone() * y.clone() + z.abs().neg().exp().log1p();
    (terms.sum_dim(1) / pixels, (p.clone() - y.clone()) / pixels)
}

fn dice(y: &Tensor<2>, p: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let overlap = (p.clone() * y.clone()).sum_dim(1) * 2.0 + Loss::EPSILON;
    let total = (p.clone() + y.clone()).sum_dim(1) + Loss::EPSILON;
    let ratio = overlap / total.clone();
    let by_probability = ratio.clone() / total.clone() - y.clone() * total.recip() * 2.0;
    let slope = p.clone() - p.clone() * p.clone();
    (ratio.neg() + 1.0, by_probability * slope)
}
