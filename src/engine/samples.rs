//! What a run knows of its samples: how many each source has, and which were skipped. Both are reported as events.

use std::sync::Arc;

use pipeline_contract::events::SampleSkippedEvent;
use pipeline_contract::{Events, SampleCount};

use super::skipping::{SkipLedger, Skipped};

/// The samples of one run. Clones share what they know.
#[derive(Clone)]
pub struct Samples {
    /// How many samples each source has, as far as it has said.
    pub counts: SampleCount,
    /// Those that were skipped.
    pub skipped: Arc<SkipLedger>,
    events: Arc<dyn Events>,
}

impl Samples {
    /// Nothing is known yet but what an earlier part of the run skipped.
    pub fn new(skipped: Arc<SkipLedger>, events: Arc<dyn Events>) -> Self {
        Self { counts: SampleCount::default(), skipped, events }
    }

    /// A source says how many samples each of its epochs has.
    pub fn announce(&self, source: &str, samples: u64) {
        self.counts.announce(source, samples);
        self.events.announce(source, samples);
    }

    /// Warns of a sample that was skipped, and records the event.
    pub fn report(&self, skipped: &Skipped) {
        let Skipped { sample, stage, source, error, epoch } = skipped;
        tracing::warn!("sample {sample} is skipped: stage `{stage}`: {error}");
        let event = SampleSkippedEvent {
            sample: sample.clone(),
            stage: stage.clone(),
            source: source.clone(),
            error: error.clone(),
            epoch: *epoch,
        };
        self.events.record(event.into());
    }
}
