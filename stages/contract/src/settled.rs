//! What a stage settles once for the whole run, such as the size that all images must have: a run that resumes keeps it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Result, StageError};

/// What the stages of a run have settled, seen by one of them. Clones share it.
///
/// It is for what follows from the run's first items alone and never changes after: stages before the device's lane start again
/// when a run resumes, and then see other items first.
#[derive(Debug, Clone, Default)]
pub struct Settled {
    stage: String,
    all: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Settled {
    /// What an earlier part of the run had settled, by the stages' ids.
    pub fn resumed(all: BTreeMap<String, Value>) -> Self {
        Self { stage: String::new(), all: Arc::new(Mutex::new(all)) }
    }

    /// The same as the stage of this id sees it.
    #[must_use]
    pub fn of(&self, stage: &str) -> Self {
        Self { stage: stage.to_owned(), all: self.all.clone() }
    }

    /// The value that the stage has settled; `value`, for good, if it has settled none.
    ///
    /// # Errors
    /// When what was settled before is of another type.
    pub fn once<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T> {
        let misfit = |error: serde_json::Error| {
            StageError::new(format!("what `{}` had settled doesn't fit: {error}", self.stage))
                .help("another version of the program or of the stage wrote it")
        };
        let mut all = self.locked();
        match all.get(&self.stage) {
            Some(settled) => T::deserialize(settled).map_err(misfit),
            None => {
                all.insert(self.stage.clone(), serde_json::to_value(&value).map_err(misfit)?);
                Ok(value)
            }
        }
    }

    /// All that was settled so far, by the stages' ids.
    pub fn all(&self) -> BTreeMap<String, Value> {
        self.locked().clone()
    }

    /// Each entry is whole, so a panic elsewhere leaves them usable.
    fn locked(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_stays_also_when_a_run_goes_on() {
        let run = Settled::default();
        let (batch, other) = (run.of("batch"), run.of("other"));
        assert_eq!([batch.once(7).unwrap(), batch.once(8).unwrap(), other.once(9).unwrap()], [7, 7, 9]);
        let again = Settled::resumed(run.all());
        assert_eq!(again.of("batch").once(8).unwrap(), 7);
        assert!(again.of("batch").once("text".to_owned()).unwrap_err().message().contains("`batch`"));
    }
}
