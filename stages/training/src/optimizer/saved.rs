//! An optimizer's state in a checkpoint: its running means, its step counts, and the average of the weights, if it keeps one.
//! The rule isn't saved; it comes from the pipeline file.

use pipeline_contract::{Result, Saved, StageError};

use super::Optimizer;
use crate::backend::transfer as saved;
use crate::trainee::Trainee;

/// The name of the average in a checkpoint.
const AVERAGE: &str = "average";

impl Optimizer {
    /// Saves everything that determines the next step.
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn save(&self, kept: &mut Saved, trainee: &Trainee) -> Result<()> {
        let device = trainee.state.device();
        saved::keep(kept, "first", &self.memory.first, device)?;
        saved::keep(kept, "second", &self.memory.second, device)?;
        if let Some(average) = trainee.average() {
            saved::keep(kept, AVERAGE, average, device)?;
        }
        kept.set("steps", self.steps)?;
        kept.set("discarded", self.discarded)
    }

    /// Restores what [`Self::save`] saved.
    ///
    /// # Errors
    /// When the state belongs to another network or another rule, it has an average and this optimizer keeps none or the other
    /// way round, or memory is refused.
    pub(crate) fn restore(&mut self, kept: &mut Saved, trainee: &mut Trainee) -> Result<()> {
        (self.steps, self.discarded) = (kept.count("steps")?, kept.count("discarded")?);
        if self.steps == 0 {
            return Ok(());
        }
        let has_average = kept.values.contains_key(AVERAGE);
        if has_average != self.ema.is_some() {
            let (has, help) = match has_average {
                true => ("an average of the weights, and `ema` is off", "set `ema` as the run had it"),
                false => ("no average of the weights, and `ema` is on", "remove `ema`, as the run had none"),
            };
            return Err(StageError::new(format!("the checkpoint has {has}"))
                .help(format!("{help}; or start a new run with this run's weights (`init`)")));
        }
        self.remember(trainee)?;
        let device = &trainee.state.device().clone();
        self.memory.first = saved::take_like(kept, "first", &self.memory.first, device)?;
        self.memory.second = saved::take_like(kept, "second", &self.memory.second, device)?;
        if let Some(average) = trainee.average_mut() {
            *average = saved::take_like(kept, AVERAGE, average, device)?;
        }
        Ok(())
    }
}
