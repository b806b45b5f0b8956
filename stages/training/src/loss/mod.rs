//! The losses: a weighted list of terms, with the gradient of the logits. Always float32, whatever type maps are stored in. Each
//! sample has its own loss; averaging over a window's samples is up to the optimizer.

mod options;
mod target;

pub(crate) use options::{kind, parse};
pub(crate) use target::Target;

pub use pipeline_images::IGNORED;

use pipeline_contract::{Result, StageError};
use pipeline_kernels::{Area, Term, WeightedTerm};

use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Made, Map, Scratch, Work};

/// A loss between logits and masks: the sum of its terms, each times its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Loss {
    /// The terms, at least one.
    pub terms: Vec<WeightedTerm>,
}

impl Default for Loss {
    /// Binary cross-entropy plus soft Dice.
    fn default() -> Self {
        Self::of([Term::Bce { pos_weight: 1.0 }, Term::Dice])
    }
}

impl Loss {
    /// Terms with weight 1.
    pub fn of(terms: impl IntoIterator<Item = Term>) -> Self {
        Self { terms: terms.into_iter().map(|term| WeightedTerm { term, weight: 1.0 }).collect() }
    }

    /// Checks that the loss fits this number of classes: 1 for a sigmoid, more for a softmax.
    ///
    /// # Errors
    /// When a term doesn't fit.
    pub fn suits(&self, classes: usize) -> Result<()> {
        let misfit = self.terms.iter().find(|weighted| weighted.term.is_multiclass() != (classes > 1));
        match misfit {
            None => Ok(()),
            Some(_) if classes > 1 => Err(StageError::new(format!("this loss is for one class, the model has {classes}"))
                .help("take loss: ce_dice, or cross_entropy and dice with weights")),
            Some(_) => Err(StageError::new("cross_entropy is for several classes, the model has one")
                .help("take loss: bce_dice, or give the model classes: 2 or more")),
        }
    }
}

/// The share of one head in a network's loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// What the head's loss is multiplied by.
    pub weight: f32,
    /// True for the first head; the losses of the others are added to its loss.
    pub first: bool,
}

/// What a backend implements for a loss.
pub(crate) trait LossBackend: Backend {
    /// Replaces the logits with the gradient of `scale` times the sum of the samples' losses; the losses go to the backend's
    /// list. `labels` have the size of the logits.
    fn loss(&mut self, loss: &Loss, logits: &mut Map<Self::Data>, labels: &[u8], scale: f32, part: Part) -> Tried<()>;

    fn loss_scratch(&self, loss: &Loss, classes: usize, area: Area) -> Scratch;
}

impl Loss {
    /// The gradient of `scale` times a head's share of the loss, replacing its logits.
    pub(crate) fn gradient<B: LossBackend>(
        &self,
        e: &mut Executor<B>,
        mut logits: Map<B::Data>,
        target: Target<'_>,
        (scale, part): (f32, Part),
    ) -> Made<B> {
        e.enter("loss", "forward");
        let area = logits.area;
        let labels = target.at(area);
        let scratch = e.backend.loss_scratch(self, logits.channels, area);
        let cost = Cost { scratch, work: Work::moving(3.0 * logits.shape().values() as f64) };
        e.perform(cost, |b| b.loss(self, &mut logits, &labels, scale, part))?;
        Ok(logits)
    }
}
