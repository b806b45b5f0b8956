//! A network in training: layers, tensors, loss, the policies for its passes, and the open window. The stages on the
//! device's thread share one trainee; `verify` uses the same code. It computes gradients and never changes weights, which is
//! the optimizer's job.

mod average;
mod averaging;
mod inspect;
mod not_finite;
mod passes;
mod reduction;
mod retried;
mod retry;
mod saved;

pub use reduction::Reduction;

use std::sync::{Arc, Mutex, MutexGuard};

use burn::tensor::Tensor;
use pipeline_contract::{Result, StageError};

use self::average::Average;
use self::not_finite::NotFinite;
use self::retried::Retry;
use crate::backend;
use crate::device::device_memory;
use crate::loss::Loss;
use crate::memory::{Cause, Charge, Ledger, Tried};
use crate::micro_batch::MicroBatch;
use crate::model::Card;
use crate::network::Network;
use crate::parameters::{Role, State, zeros};
use crate::policy::{LossScale, Setting};

/// A network in training.
#[derive(Debug)]
pub struct Trainee {
    /// The layers.
    pub network: Network,
    /// The tensors.
    pub state: State,
    /// The loss.
    pub loss: Loss,
    /// The policies that passes run under.
    pub setting: Setting,
    /// The policies that were configured, before any refusal of memory changed them.
    asked: Setting,
    /// The loss scale of float16.
    pub scale: LossScale,
    /// The device memory held, by cause.
    pub ledger: Ledger,
    window: Open,
    /// The moving average of the trained weights, once there is one.
    average: Option<Average>,
    /// Maximum test images per pass.
    most_evaluated: usize,
    /// What the model's file will say of its use; `None` where no file is written.
    pub card: Option<Card>,
    /// The threshold that an evaluator has chosen last, on a validation part.
    pub threshold: Option<f32>,
    /// Retries that haven't been reported yet.
    retries: Vec<Retry>,
    /// A window that wasn't finite and hasn't been reported yet.
    broken: Option<NotFinite>,
    _weights: Charge,
}

/// The open window: the sums over its micro-batches so far, and everything needed to recompute them.
#[derive(Debug, Default)]
struct Open {
    /// The gradients of the loss scale times the SUM of the samples' losses, in the order of the trained tensors.
    gradients: Vec<Tensor<1>>,
    charge: Option<Charge>,
    losses: Vec<Tensor<1>>,
    /// The micro-batches themselves, in case they must be processed again.
    journal: Vec<MicroBatch>,
    /// Batch norm's running statistics and counters from before the window.
    before: (Vec<Tensor<1>>, Vec<u64>),
}

impl Trainee {
    /// A network that hasn't seen any samples yet.
    ///
    /// # Errors
    /// When its tensors alone exceed the ledger's limit.
    pub fn new(network: Network, state: State, loss: Loss, setting: Setting, ledger: Ledger) -> Result<Self> {
        let values = |role| network.layout.of(role).filter_map(|spec| spec.elements()).sum::<usize>() as u64;
        let weights = ledger.charge(Cause::Weights, 4 * (values(Role::Trained) + values(Role::Statistic)))?;
        let scale = LossScale::new(setting.precision, LossScale::START);
        let (window, retries) = (Open::default(), Vec::new());
        Ok(Self {
            network,
            state,
            loss,
            setting,
            asked: setting,
            scale,
            ledger,
            window,
            average: None,
            most_evaluated: usize::MAX,
            card: None,
            threshold: None,
            retries,
            broken: None,
            _weights: weights,
        })
    }

    /// Bytes that the device's allocator has in use now, and the most that it was seen to have reserved. The reserved bytes
    /// are read now and at each block of each pass. `None` where the device doesn't report them.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let (in_use, reserved) = device_memory(self.state.device())?;
        self.ledger.observe(reserved);
        Some((in_use, self.ledger.observed()))
    }

    /// The number of trained values.
    pub fn parameters(&self) -> u64 {
        self.network.layout.parameters().unwrap_or(0) as u64
    }

    /// Adds a micro-batch to the open window: its losses and its gradients. Batch norm's running statistics move; the weights
    /// don't.
    pub(crate) fn add(&mut self, batch: MicroBatch) -> Tried<()> {
        self.network.accepts(batch.samples.len(), batch.height, batch.width)?;
        if self.window.journal.is_empty() {
            self.window.before = (self.state.statistics.clone(), self.state.counters.clone());
        }
        self.window.journal.push(batch);
        self.open()?;
        self.work_off(self.window.journal.len() - 1)
    }

    /// Processes all micro-batches of the open window again under another setting, as if the first attempt hadn't happened.
    pub(crate) fn redo(&mut self, setting: Setting) -> Tried<()> {
        self.setting = setting;
        (self.state.statistics, self.state.counters) = self.window.before.clone();
        self.window.losses.clear();
        self.clear()?;
        self.open()?;
        (0..self.window.journal.len()).try_for_each(|index| self.work_off(index))
    }

    /// The size of the largest micro-batch of the open window: samples, height, width.
    pub(crate) fn largest(&self) -> Option<(usize, usize, usize)> {
        let size = |batch: &MicroBatch| (batch.samples.len(), batch.height, batch.width);
        self.window.journal.iter().map(size).max_by_key(|(samples, height, width)| samples * height * width)
    }

    /// The gradients of the loss scale times the sum of the window's losses, in the order of the trained tensors.
    pub fn gradients(&self) -> &[Tensor<1>] {
        &self.window.gradients
    }

    /// The same gradients, mutable, so that tests can give an optimizer any values.
    pub fn gradients_mut(&mut self) -> &mut [Tensor<1>] {
        &mut self.window.gradients
    }

    /// The losses of the window's samples, in order, still on the device.
    pub fn losses(&self) -> &[Tensor<1>] {
        &self.window.losses
    }

    /// How many values the optimizer keeps for each weight, for a plan. Before the first step it keeps none yet, so the plan
    /// assumes as many as Adam keeps.
    pub(crate) fn optimizer_values(&self) -> u64 {
        match self.ledger.now().causes.get(&Cause::Optimizer) {
            Some(held) => held / (4 * self.parameters()).max(1),
            None => 2,
        }
    }

    /// What the optimizer borrows together: the weights to change and the window's gradients.
    pub(crate) fn weights_and_gradients(&mut self) -> (&mut State, &[Tensor<1>]) {
        (&mut self.state, &self.window.gradients)
    }

    /// Discards the window: batch norm's running statistics go back to what they were before it.
    ///
    /// # Errors
    /// What the device reports.
    pub fn forget(&mut self) -> Result<()> {
        (self.state.statistics, self.state.counters) = std::mem::take(&mut self.window.before);
        self.close()
    }

    /// Ends the window: the sums start from zero with the next micro-batch.
    ///
    /// # Errors
    /// What the device reports.
    pub fn close(&mut self) -> Result<()> {
        self.window.losses.clear();
        self.window.journal.clear();
        self.clear()
    }

    /// Sets the sums to zero in place.
    fn clear(&mut self) -> Result<()> {
        backend::of(self.state.device()).clear(&mut self.window.gradients)
    }

    /// Allocates the window's sums if they don't exist yet.
    fn open(&mut self) -> Tried<()> {
        if self.window.charge.is_none() {
            self.window.charge = Some(self.ledger.charge(Cause::Gradients, 4 * self.parameters())?);
        }
        if self.window.gradients.is_empty() {
            self.window.gradients = zeros(&self.state.trained, self.state.device());
        }
        Ok(())
    }
}

/// A network shared by several stages, which all run on the device's thread, one after the other.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Trainee>>);

impl Shared {
    /// Shares a network.
    pub fn new(trainee: Trainee) -> Self {
        Self(Arc::new(Mutex::new(trainee)))
    }

    /// Locks the network.
    ///
    /// # Errors
    /// When a stage panicked while it changed the network.
    pub fn lock(&self) -> Result<MutexGuard<'_, Trainee>> {
        self.0.lock().map_err(|_| StageError::new("another stage panicked while it held the network"))
    }
}
