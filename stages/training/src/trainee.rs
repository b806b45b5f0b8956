//! A network in training: layers, tensors, loss, the policies of its passes and the window that is open. The stages of the
//! device's thread share one; `verify` uses the same. It makes gradients; it never changes weights (that is the optimizer's).

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

use self::not_finite::NotFinite;
use self::retried::Retry;
use crate::backend;
use crate::device::device_memory;
use crate::loss::Loss;
use crate::memory::{Cause, Charge, Ledger, Tried};
use crate::micro_batch::MicroBatch;
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
    /// How passes are made.
    pub setting: Setting,
    /// How they were meant to be made, before memory was refused.
    asked: Setting,
    /// The loss scale of float16.
    pub scale: LossScale,
    /// What the device holds, by cause.
    pub ledger: Ledger,
    window: Open,
    /// At most so many test images in one pass.
    most_evaluated: usize,
    /// What was tried again and not told yet.
    retries: Vec<Retry>,
    /// A window that wasn't finite and isn't told yet.
    broken: Option<NotFinite>,
    _weights: Charge,
}

/// The window that is open: sums over its micro-batches so far, and what it takes to make them again.
#[derive(Debug, Default)]
struct Open {
    /// The gradients of the loss scale times the SUM of the samples' losses, in the order of the trained tensors.
    gradients: Vec<Tensor<1>>,
    charge: Option<Charge>,
    losses: Vec<Tensor<1>>,
    /// The micro-batches themselves, in case they must be worked off again.
    journal: Vec<MicroBatch>,
    /// What batch norm knew before the window.
    before: (Vec<Tensor<1>>, Vec<u64>),
}

impl Trainee {
    /// A network that has seen nothing yet.
    ///
    /// # Errors
    /// When its tensors alone are beyond the ledger's limit.
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
            most_evaluated: usize::MAX,
            retries,
            broken: None,
            _weights: weights,
        })
    }

    /// Bytes that the device's allocator has in use now, and the most that it was seen to hold, used or not: now, and at each
    /// block of each pass. `None` where it doesn't say.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let (in_use, reserved) = device_memory(self.state.device())?;
        self.ledger.observe(reserved);
        Some((in_use, self.ledger.observed()))
    }

    /// How many trained values there are.
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

    /// Works off all micro-batches of the open window anew, under another setting, as if the first try had not been.
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

    /// The same, to change them: how tests give an optimizer what they like.
    pub fn gradients_mut(&mut self) -> &mut [Tensor<1>] {
        &mut self.window.gradients
    }

    /// The losses of the window's samples, in order, still on the device.
    pub fn losses(&self) -> &[Tensor<1>] {
        &self.window.losses
    }

    /// What a plan needs of the optimizer: the values that it keeps for each weight. Before its first step it has none, and
    /// may come to have as many as Adam.
    pub(crate) fn optimizer_values(&self) -> u64 {
        match self.ledger.now().causes.get(&Cause::Optimizer) {
            Some(held) => held / (4 * self.parameters()).max(1),
            None => 2,
        }
    }

    /// What the optimizer needs at once: weights to change, the window's gradients.
    pub(crate) fn weights_and_gradients(&mut self) -> (&mut State, &[Tensor<1>]) {
        (&mut self.state, &self.window.gradients)
    }

    /// Ends the window as if it had not been: what batch norm saw of it is forgotten.
    ///
    /// # Errors
    /// What the device reports.
    pub fn forget(&mut self) -> Result<()> {
        (self.state.statistics, self.state.counters) = std::mem::take(&mut self.window.before);
        self.close()
    }

    /// Ends the window: the sums start anew with the next micro-batch.
    ///
    /// # Errors
    /// What the device reports.
    pub fn close(&mut self) -> Result<()> {
        self.window.losses.clear();
        self.window.journal.clear();
        self.clear()
    }

    /// Sums of zero, in the memory that they have.
    fn clear(&mut self) -> Result<()> {
        backend::of(self.state.device()).clear(&mut self.window.gradients)
    }

    /// Makes the place for the window's sums where there is none yet.
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

/// A network that several stages use, all on the device's thread, one after the other.
#[derive(Debug, Clone)]
pub struct Shared(Arc<Mutex<Trainee>>);

impl Shared {
    /// Shares a network.
    pub fn new(trainee: Trainee) -> Self {
        Self(Arc::new(Mutex::new(trainee)))
    }

    /// The network.
    ///
    /// # Errors
    /// When a stage panicked while it changed the network.
    pub fn lock(&self) -> Result<MutexGuard<'_, Trainee>> {
        self.0.lock().map_err(|_| StageError::new("another stage panicked while it held the network"))
    }
}
