//! What a step leaves behind for the stages after it.
//! The figures of the step are recorded by `optimizer_step`.

use pipeline_contract::Payload;

use crate::trainee::Shared;

/// One step that was made.
#[derive(Clone)]
pub struct Step {
    /// Its number, from 1 over the whole run.
    pub number: u64,
    /// The mean loss over the window's samples.
    pub loss: f64,
    /// The network after the step.
    pub network: Shared,
}

impl Payload for Step {
    const NAME: &'static str = "step";

    /// Nothing: the network is the device's memory, and there is one.
    fn bytes(&self) -> u64 {
        0
    }
}
