//! An edge between two lanes: a bounded crossbeam channel whose items and bytes are on the run's accounts.

use std::sync::Arc;

use crossbeam_channel as channel;
use pipeline_contract::Item;

use super::budget::{Budget, Closed, Hold};
use crate::graph::Bound;

/// A payload between stages, with the memory that it holds.
#[derive(Debug, Clone)]
pub struct Held {
    pub item: Item,
    pub hold: Arc<Hold>,
}

impl Held {
    pub fn new(item: Item, budget: &Arc<Budget>) -> Self {
        let hold = Arc::new(budget.hold(item.bytes));
        Self { item, hold }
    }
}

/// What flows along an edge.
#[derive(Debug, Clone)]
pub enum Message {
    /// One item.
    Item(Held),
    /// All items of this epoch have come.
    EpochEnd(u64),
}

impl Message {
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Item(held) => held.item.bytes,
            Self::EpochEnd(_) => 0,
        }
    }
}

/// The producer's end. Dropped without an `EpochEnd`, it tells the consumer that the run was interrupted.
#[derive(Debug)]
pub struct Sender {
    sender: channel::Sender<Message>,
    budget: Arc<Budget>,
    edge: usize,
}

impl Sender {
    /// Waits for room and sends.
    pub fn send(&self, message: Message) -> Result<(), Closed> {
        self.budget.admit(self.edge, message.bytes())?;
        // Admission bounds the items, so the channel itself has room.
        self.sender.send(message).map_err(|_| Closed)
    }
}

/// The consumer's end.
#[derive(Debug)]
pub struct Receiver {
    receiver: channel::Receiver<Message>,
    budget: Arc<Budget>,
    edge: usize,
}

impl Receiver {
    /// The channel, for `select!`; hand what comes out of it to [`Receiver::took`].
    pub fn channel(&self) -> &channel::Receiver<Message> {
        &self.receiver
    }

    /// Takes a received message off the edge's account.
    pub fn took(&self, message: Message) -> Message {
        self.budget.leave(self.edge, message.bytes());
        message
    }

    /// Waits for the next message; `None` when the producer is gone.
    pub fn recv(&self) -> Option<Message> {
        self.receiver.recv().ok().map(|message| self.took(message))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.budget.close(self.edge);
    }
}

/// Opens an edge.
pub fn open(budget: &Arc<Budget>, from: &str, to: &str, bound: Bound) -> (Sender, Receiver) {
    let edge = budget.open_edge(from, to, bound);
    let (sender, receiver) = channel::bounded(bound.items.max(1));
    (Sender { sender, budget: budget.clone(), edge }, Receiver { receiver, budget: budget.clone(), edge })
}

/// Sends one message to every consumer; the last one gets the original, so a sole consumer shares nothing.
pub fn broadcast(outputs: &[Sender], message: Message) -> Result<(), Closed> {
    let Some((last, others)) = outputs.split_last() else { return Ok(()) };
    for output in others {
        output.send(message.clone())?;
    }
    last.send(message)
}
