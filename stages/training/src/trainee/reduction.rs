//! The one place where a window's gradients are complete and not yet used: between the last backward pass and the optimizer.
//! What reduces gradients further (other machines, say) belongs here.

use pipeline_contract::{Result, StageError};

use super::Trainee;
use crate::backend;
use crate::memory::Fault;

/// A complete window: the gradients stay where they are summed; this says what they are to be divided by, and whether they can
/// be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduction {
    /// The loss of each sample of the window, in order.
    pub losses: Vec<f32>,
    /// What the sums are divided by to give the mean gradient: samples times loss scale.
    pub divisor: f64,
    /// The L2 norm of the mean gradient over all weights.
    pub norm: f64,
    /// The loss scale that the window was made under.
    pub loss_scale: f64,
    /// False where a loss or the gradient is not finite: under a dynamic loss scale an overflow, otherwise an error.
    pub finite: bool,
}

impl Trainee {
    /// Completes the open window, which must hold so many samples. A device may tell only now that it had no memory for it; then
    /// the window is made again under a smaller setting.
    ///
    /// # Errors
    /// When the window holds another number of samples, or the device fails.
    pub fn reduce(&mut self, samples: usize) -> Result<Reduction> {
        let (losses, sum_norm) = loop {
            let runtime = backend::of(self.state.device());
            match runtime.measure(&self.ledger, &self.window.losses, &self.window.gradients) {
                Ok(measured) => break measured,
                Err(Fault::Memory(short)) => self.retry(short)?,
                Err(Fault::Failed(error)) => return Err(error),
            }
        };
        if losses.len() != samples {
            let held = losses.len();
            let message = format!("the open window holds {held} samples, not the {samples} of this step");
            return Err(StageError::new(message).help("let one `accumulate` and one `optimizer_step` follow a `train_step`"));
        }
        let loss_scale = self.scale.scale();
        let divisor = samples.max(1) as f64 * loss_scale;
        let norm = sum_norm / divisor;
        let finite = norm.is_finite() && losses.iter().all(|loss| loss.is_finite());
        Ok(Reduction { losses, divisor, norm, loss_scale, finite })
    }
}
