//! The losses, with the gradient of the logits: always float32, whatever maps are stored in.
//! Each sample has its own loss; the mean over a window's samples is the optimizer's business.

use pipeline_contract::{Result, StageError};
use pipeline_kernels::{Area, LossKind};

use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Made, Map, Scratch};

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

    /// The same loss among the CPU's kernels.
    pub(crate) fn kernel(self) -> LossKind {
        match self {
            Self::Bce => LossKind::Bce,
            Self::Dice => LossKind::Dice,
            Self::BceDice => LossKind::BceDice,
        }
    }
}

/// What logits are compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// Nonzero where there is vessel, `[batch, height, width]`.
    pub masks: &'a [u8],
}

/// The share of one head in a network's loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// What the head's loss is multiplied by.
    pub weight: f32,
    /// True for the first head; the losses of others are added to its.
    pub first: bool,
}

/// What a backend does for a loss.
pub(crate) trait LossBackend: Backend {
    /// From logits to the gradient of `scale` times the sum of the samples' losses, in place; the losses go to the backend's
    /// list.
    fn loss(&mut self, loss: &Loss, logits: &mut Map<Self::Data>, target: Target<'_>, scale: f32, part: Part) -> Tried<()>;

    fn loss_scratch(&self, loss: &Loss, area: Area) -> Scratch;
}

impl Loss {
    /// The gradient of `scale` times a head's share of the loss, in place of its logits.
    pub(crate) fn gradient<B: LossBackend>(
        &self,
        e: &mut Executor<B>,
        mut logits: Map<B::Data>,
        target: Target<'_>,
        (scale, part): (f32, Part),
    ) -> Made<B> {
        e.enter("loss", "forward");
        let scratch = e.backend.loss_scratch(self, logits.area);
        let cost = Cost { scratch, ..Cost::moving(3.0 * logits.area.values(1) as f64) };
        e.perform(cost, |b| b.loss(self, &mut logits, target, scale, part))?;
        Ok(logits)
    }
}
