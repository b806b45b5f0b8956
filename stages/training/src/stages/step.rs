//! The payload that a step passes to the stages after it.
//! `optimizer_step` records the figures of the step.

use pipeline_contract::Payload;

use crate::trainee::Shared;

/// One completed step.
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

    /// Zero: the network is in device memory, and there is only one.
    fn bytes(&self) -> u64 {
        0
    }
}
