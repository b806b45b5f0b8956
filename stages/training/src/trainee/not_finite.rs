//! The report on a window whose losses or gradients aren't finite: which samples are affected, and in which block it began.

use std::sync::Arc;

use pipeline_contract::StageError;
use pipeline_contract::events::{BlockRms, NotFiniteEvent};

use crate::network::BlockNorm;

/// The most samples named in the error, which only counts the rest; the event lists all.
const MOST_NAMED: usize = 16;

/// A window that isn't finite.
#[derive(Debug, Clone)]
pub(super) struct NotFinite {
    pub step: u64,
    pub samples: Vec<Arc<str>>,
    pub losses: Vec<f32>,
    /// In the order of the forward pass; or the reason why they couldn't be measured.
    pub blocks: Result<Vec<BlockNorm>, String>,
}

/// JSON has neither infinity nor NaN.
fn number(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn listed<'a>(names: impl Iterator<Item = &'a Arc<str>>) -> String {
    let names: Vec<&str> = names.map(AsRef::as_ref).collect();
    match names.len().checked_sub(MOST_NAMED).filter(|&more| more > 0) {
        Some(more) => format!("{} and {more} more", names[..MOST_NAMED].join(", ")),
        None => names.join(", "),
    }
}

impl NotFinite {
    /// The event to record. `epoch` counts from 0.
    pub fn event(&self, epoch: u64) -> NotFiniteEvent {
        let block = |block: &BlockNorm| BlockRms { name: block.name.to_string(), rms: number(block.rms()) };
        NotFiniteEvent {
            epoch: epoch + 1,
            step: self.step,
            samples: self.samples.iter().map(ToString::to_string).collect(),
            losses: self.losses.iter().map(|&loss| number(f64::from(loss))).collect(),
            not_finite: self.broken().map(ToString::to_string).collect(),
            blocks: self.blocks.iter().flatten().map(block).collect(),
        }
    }

    /// The samples whose losses aren't finite.
    fn broken(&self) -> impl Iterator<Item = &Arc<str>> {
        self.samples.iter().zip(&self.losses).filter(|(_, loss)| !loss.is_finite()).map(|(sample, _)| sample)
    }

    /// A description of where it began.
    fn place(&self) -> String {
        let blocks = match &self.blocks {
            Ok(blocks) => blocks,
            Err(why) => return format!("the block where it began is unknown: {why}"),
        };
        match blocks.iter().position(|block| !block.squares.is_finite()) {
            Some(0) => "the images themselves are not finite".to_owned(),
            Some(first) => {
                let (before, block) = (&blocks[first - 1], &blocks[first]);
                format!("it begins in block {}, after {} with an RMS of {:.3e}", block.name, before.name, before.rms())
            }
            None => {
                let largest = blocks.iter().max_by(|a, b| a.rms().total_cmp(&b.rms()));
                let largest = largest
                    .map_or_else(String::new, |block| format!(" (the largest RMS is {:.3e}, in {})", block.rms(), block.name));
                format!("the activations of all blocks are finite{largest}: it begins after the last block")
            }
        }
    }

    /// The error that ends the run.
    pub fn error(&self) -> StageError {
        let Self { step, samples, losses, .. } = self;
        let (window, place) = (listed(samples.iter()), self.place());
        let infinite = losses.iter().find(|loss| !loss.is_finite());
        let Some(infinite) = infinite else {
            let message =
                format!("the gradient of step {step} is not finite, though the losses are (samples {window}); {place}");
            return StageError::new(message).help("take a smaller lr, or clip_norm: 1");
        };
        let whose = match samples.len() > 1 && self.broken().count() == samples.len() {
            true => format!("each sample is {infinite} in step {step} (samples {window})"),
            false => {
                format!("sample {} is {infinite} in step {step}, whose samples are {window}", listed(self.broken()))
            }
        };
        StageError::new(format!("the loss of {whose}; {place}"))
            .help("look at this image and its mask; otherwise a smaller lr, or clip_norm: 1")
    }
}
