//! The report on a refusal of memory and the response to it.

use pipeline_contract::events::{RetryEvent, RetrySetting};

use crate::memory::OutOfMemory;
use crate::policy::Setting;

/// One retry: what was refused, and the setting before and after.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Retry {
    pub short: OutOfMemory,
    pub from: Setting,
    pub to: Setting,
    /// The planned peak of training from then on, in bytes, if the plan changed.
    pub planned: Option<u64>,
    pub samples: usize,
}

/// A setting in the form that events use.
fn told(setting: &Setting, largest: usize) -> RetrySetting {
    RetrySetting {
        micro_batch: setting.samples.min(largest),
        mixed_precision: setting.precision.name().to_owned(),
        gradient_checkpointing: setting.checkpointing.name().to_owned(),
    }
}

/// The same setting as readable text.
pub(super) fn in_words(setting: &Setting, largest: usize) -> String {
    let Setting { precision, checkpointing, samples } = setting;
    let (samples, precision, checkpointing) = ((*samples).min(largest), precision.words(), checkpointing.name());
    format!("at most {samples} samples at a time, mixed_precision {precision}, gradient_checkpointing {checkpointing}")
}

impl Retry {
    /// The event to record. `epoch` counts from 1.
    pub fn event(&self, epoch: u64) -> RetryEvent {
        let Self { short, from, to, planned, samples } = self;
        RetryEvent {
            epoch,
            what: short.to_string(),
            place: short.place.clone(),
            device_bytes: short.held,
            asked: short.asked,
            samples: *samples,
            from: told(from, *samples),
            to: told(to, *samples),
            device_planned_peak: *planned,
        }
    }
}
