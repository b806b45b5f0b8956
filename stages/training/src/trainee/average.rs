//! The tensors of the weights' moving average. Who moves and uses them is in `averaging`.

use burn::tensor::Tensor;
use pipeline_contract::Result;

use crate::backend;
use crate::memory::Charge;
use crate::parameters::{State, zeros};

/// The average of a network's trained tensors, in their order.
#[derive(Debug)]
pub(super) struct Average {
    pub tensors: Vec<Tensor<1>>,
    _charge: Charge,
}

impl Average {
    /// An average that equals the weights; `charge` is for its memory.
    ///
    /// # Errors
    /// What the device reports.
    pub fn of(state: &State, charge: Charge) -> Result<Self> {
        let tensors = zeros(&state.trained, state.device());
        let mut average = Self { tensors, _charge: charge };
        // A share of one copies: 0 + 1 * (weight - 0).
        average.follow(state, 1.0)?;
        Ok(average)
    }

    /// Moves it towards the weights: `average += share * (weight - average)`.
    ///
    /// # Errors
    /// What the device reports.
    pub fn follow(&mut self, state: &State, share: f64) -> Result<()> {
        backend::of(state.device()).average(&mut self.tensors, &state.trained, share as f32)
    }

    /// Exchanges it with the weights.
    pub fn exchange(&mut self, state: &mut State) {
        std::mem::swap(&mut self.tensors, &mut state.trained);
    }
}
