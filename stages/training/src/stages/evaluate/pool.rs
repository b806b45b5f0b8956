//! Scores images beside the device's thread. Their order is restored.

use std::sync::{Arc, Mutex, PoisonError};

use pipeline_contract::memory::{self, Side};
use pipeline_contract::{Facts, Result, StageError, fact};
use pipeline_metrics::{Background, RocAuc};

use super::score::{Job, Scored, needed};

/// What images that are being scored may hold together, in bytes; a single one may hold more.
pub(super) const MOST_BYTES: u64 = 512 << 20;

/// What images that are being scored hold together at most, in bytes, from what is known of them: by their original masks, a byte a pixel
/// and another one for a field of view.
pub(super) fn planned(images: &Facts, classes: u64) -> u64 {
    let known = |name| images.integer(name);
    let maps = 1 + u64::from(images.get(fact::FIELD_OF_VIEW).is_some());
    let own = match images.get(fact::ORIGINAL) {
        Some(original) => original.value.as_u64().map(|bytes| bytes / maps),
        None => known(fact::HEIGHT).zip(known(fact::WIDTH)).map(|(height, width)| height.saturating_mul(width)),
    };
    let Some(pixels) = own else { return MOST_BYTES };
    let seen = known(fact::HEIGHT).zip(known(fact::WIDTH)).map_or(pixels, |(height, width)| height.saturating_mul(width));
    let one = needed(pixels, seen, classes);
    one.max(MOST_BYTES.min(one.saturating_mul(Background::<Scored>::most() as u64)))
}

/// The images that are being scored.
pub(super) struct Pool {
    images: Background<Scored>,
    /// The ROC curve over the pixels of all images. Counts, so that the order of images doesn't matter.
    pooled: Arc<Mutex<RocAuc>>,
}

impl Pool {
    /// Nothing yet, but the pixels of earlier images.
    pub fn new(pooled: Option<RocAuc>) -> Self {
        Self { images: Background::new(MOST_BYTES), pooled: Arc::new(Mutex::new(pooled.unwrap_or_default())) }
    }

    /// Starts to score an image; waits for others where there is no room.
    ///
    /// # Errors
    /// When another one failed.
    pub fn start(&mut self, job: Job) -> Result<()> {
        let (pooled, bytes) = (self.pooled.clone(), job.bytes());
        let score = move || {
            let _host = memory::enter(Side::Host);
            job.score(&mut |probabilities, truth, inside| {
                let mut pooled = pooled.lock().unwrap_or_else(PoisonError::into_inner);
                for (at, (&probability, &truth)) in probabilities.iter().zip(truth).enumerate() {
                    if inside.is_none_or(|inside| inside[at] != 0) {
                        pooled.add((probability / (1.0 - probability)).ln(), truth != 0);
                    }
                }
            })
        };
        self.images.start(bytes, score).map_err(failed)
    }

    /// Waits for all: their figures in the order in which they were started, and the ROC curve with them.
    ///
    /// # Errors
    /// When one failed.
    pub fn finish(mut self) -> Result<(Vec<Scored>, RocAuc)> {
        let images = self.images.finish().map_err(failed)?;
        // Nobody else counts any more, so nothing is copied.
        let pooled = Arc::try_unwrap(self.pooled).map(Mutex::into_inner);
        let pooled = pooled.unwrap_or_else(|shared| Ok(shared.lock().unwrap_or_else(PoisonError::into_inner).clone()));
        Ok((images, pooled.unwrap_or_else(PoisonError::into_inner)))
    }
}

fn failed(words: String) -> StageError {
    StageError::new(format!("the figures of a test image can't be computed: {words}")).help("this is a bug of the program")
}
