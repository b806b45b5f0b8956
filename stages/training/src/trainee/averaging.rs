//! The moving average of the trained weights, which evaluation and export use in their place. Its decay is the optimizer's
//! business. Batch norm's running statistics aren't averaged.

use burn::tensor::Tensor;
use pipeline_contract::Result;

use super::Trainee;
use super::average::Average;
use crate::memory::Cause;
use crate::parameters::State;

impl Trainee {
    /// Starts an average that equals the weights, unless there is one.
    ///
    /// # Errors
    /// When memory is refused, or the device fails.
    pub(crate) fn start_average(&mut self) -> Result<()> {
        if self.average.is_some() {
            return Ok(());
        }
        let charge = self.reserve(Cause::Average, 4 * self.parameters())?;
        self.average = Some(Average::of(&self.state, charge)?);
        Ok(())
    }

    /// Moves the average, if there is one, towards the weights: `average += share * (weight - average)`.
    ///
    /// # Errors
    /// What the device reports.
    pub(crate) fn move_average(&mut self, share: f64) -> Result<()> {
        self.average.as_mut().map_or(Ok(()), |average| average.follow(&self.state, share))
    }

    /// The average, in the order of the trained tensors; `None` if none is kept, or before the first step.
    pub fn average(&self) -> Option<&[Tensor<1>]> {
        self.average.as_ref().map(|average| &average.tensors[..])
    }

    /// The same, to be replaced by tensors of the same lengths.
    pub(crate) fn average_mut(&mut self) -> Option<&mut Vec<Tensor<1>>> {
        self.average.as_mut().map(|average| &mut average.tensors)
    }

    /// The tensors to evaluate and to export: the average, if there is one, in place of the trained weights, and the current
    /// running statistics. They share their memory with this network.
    pub fn averaged(&self) -> State {
        let mut state = self.state.clone();
        if let Some(average) = &self.average {
            state.trained.clone_from(&average.tensors);
        }
        state
    }

    /// Does `work` with the average, if there is one, in place of the weights. The two are exchanged and exchanged back, so
    /// there is no third copy.
    pub(super) fn with_average<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.exchange();
        let result = work(self);
        self.exchange();
        result
    }

    fn exchange(&mut self) {
        if let Some(average) = &mut self.average {
            average.exchange(&mut self.state);
        }
    }
}
