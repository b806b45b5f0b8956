//! An optimizer's state in a checkpoint: its running means and its step counts.
//! The rule isn't saved; it comes from the pipeline file.

use pipeline_contract::{Result, Saved};

use super::Optimizer;
use crate::backend::transfer as saved;
use crate::trainee::Trainee;

impl Optimizer {
    /// Saves everything that determines the next step.
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn save(&self, kept: &mut Saved, trainee: &Trainee) -> Result<()> {
        let device = trainee.state.device();
        saved::keep(kept, "first", &self.memory.first, device)?;
        saved::keep(kept, "second", &self.memory.second, device)?;
        kept.set("steps", self.steps)?;
        kept.set("discarded", self.discarded)
    }

    /// Restores what [`Self::save`] saved.
    ///
    /// # Errors
    /// When the state belongs to another network or another rule, or memory is refused.
    pub(crate) fn restore(&mut self, kept: &mut Saved, trainee: &mut Trainee) -> Result<()> {
        (self.steps, self.discarded) = (kept.count("steps")?, kept.count("discarded")?);
        if self.steps == 0 {
            return Ok(());
        }
        self.remember(trainee)?;
        let device = trainee.state.device();
        self.memory.first = saved::take_like(kept, "first", &self.memory.first, device)?;
        self.memory.second = saved::take_like(kept, "second", &self.memory.second, device)?;
        Ok(())
    }
}
