//! The one place where a window's gradients are complete and not yet used: between the last backward pass and the optimizer.
//! Any further reduction of gradients (across machines, say) belongs here.

use pipeline_contract::{Result, StageError};

use super::Trainee;
use crate::backend;
use crate::memory::Fault;

/// A complete window. The gradients stay where they are summed; this gives the divisor for them and says whether they can be
/// used.
#[derive(Debug, Clone, PartialEq)]
pub struct Reduction {
    /// The loss of each sample of the window, in order.
    pub losses: Vec<f32>,
    /// The divisor that turns the sums into the mean gradient: samples times loss scale.
    pub divisor: f64,
    /// The L2 norm of the mean gradient over all weights.
    pub norm: f64,
    /// The loss scale used for the window.
    pub loss_scale: f64,
    /// False when a loss or the gradient is not finite, which is an overflow under a dynamic loss scale and an error
    /// otherwise.
    pub finite: bool,
}

impl Trainee {
    /// Completes the open window, which must hold `samples` samples. A device may only now report that it ran out of memory;
    /// the window is then repeated under a smaller setting.
    ///
    /// # Errors
    /// When the window holds a different number of samples, or the device fails.
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
