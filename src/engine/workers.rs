//! The lane of stateless stages: hands each item to the pool of workers, which run the whole chain, and restores the order.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel as channel;
use pipeline_contract::{ErasedMap, Item, ItemContext, StageError};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Receiver, Sender, broadcast};
use super::order::Reorder;
use super::sieve::Sieve;
use super::state::RunState;

/// The stages that run one after the other on each item.
pub struct Chain {
    pub links: Vec<Link>,
    /// The run's seed.
    pub seed: u64,
    pub state: RunState,
}

/// One stage of the chain.
pub struct Link {
    pub stage: Arc<str>,
    pub map: Arc<dyn ErasedMap>,
    pub meter: Arc<Meter>,
}

impl Chain {
    /// Runs the chain on one message. The input's memory is given back as soon as the chain has made something else of it.
    fn apply(&self, message: Message) -> Outcome {
        let Message::Item(Held { mut item, hold }) = message else { return Outcome::Whole(message) };
        let (epoch, until) = (item.epoch, item.until);
        for link in &self.links {
            if self.state.control.is_cancelled() {
                let stage = link.stage.to_string();
                let error = RunError { stage, sample: None, cause: StageError::stopped(), panicked: false };
                return Outcome::Broken(error, epoch);
            }
            item = match self.step(link, item) {
                Ok(item) => item,
                Err(error) => return Outcome::Broken(error, epoch),
            };
        }
        drop(hold);
        item.until = until;
        Outcome::Whole(Message::Item(Held::new(item, &self.state.budget)))
    }

    fn step(&self, link: &Link, item: Item) -> Result<Item, RunError> {
        let (epoch, sample) = (item.epoch, item.sample.clone());
        let cx = ItemContext { stage: &link.stage, seed: self.seed, epoch, sample: &sample };
        let (started, _working) = (Instant::now(), self.state.activity.enter(&link.stage, Some(&sample)));
        let result = call(&link.stage, Some(&sample), || link.map.map(item, &cx));
        link.meter.add(1, started);
        result
    }
}

/// What becomes of one input, once it is its turn.
enum Outcome {
    /// It is handed on.
    Whole(Message),
    /// A stage failed on an item of this epoch.
    Broken(RunError, u64),
}

/// Results on their way back, with the numbers of their inputs.
type Done = (channel::Sender<(u64, Outcome)>, channel::Receiver<(u64, Outcome)>);

/// Runs the chain on every item, `workers` at a time; 0: on this thread.
pub fn run(
    chain: &Arc<Chain>,
    workers: usize,
    pool: Option<&rayon::ThreadPool>,
    input: &Receiver,
    outputs: &[Sender],
    sieve: &mut Sieve<'_>,
) -> Result<(), RunError> {
    match pool.filter(|_| workers > 0) {
        Some(pool) => Dispatcher::new(chain, workers, pool).run(input, outputs, sieve),
        None => {
            while let Some(message) = input.recv() {
                if !send(outputs, chain.apply(message), sieve, &chain.state)? {
                    break;
                }
            }
            Ok(())
        }
    }
}

/// Hands out items and puts their results back in order.
struct Dispatcher<'a> {
    chain: &'a Arc<Chain>,
    pool: &'a rayon::ThreadPool,
    /// Maximum inputs at once: one for each worker, and as many that are done or wait behind a slow one.
    limit: u64,
    done: Done,
    order: Reorder<Outcome>,
    taken: u64,
    given: u64,
    working: u64,
    /// The largest result so far: what the next one is expected to take.
    largest: u64,
}

impl<'a> Dispatcher<'a> {
    fn new(chain: &'a Arc<Chain>, workers: usize, pool: &'a rayon::ThreadPool) -> Self {
        let limit = 2 * workers as u64;
        let done = channel::bounded(2 * workers);
        Self { chain, pool, limit, done, order: Reorder::default(), taken: 0, given: 0, working: 0, largest: 0 }
    }

    fn run(mut self, input: &Receiver, outputs: &[Sender], sieve: &mut Sieve<'_>) -> Result<(), RunError> {
        let mut open = true;
        loop {
            while let Some(outcome) = self.order.pop() {
                self.given += 1;
                if !send(outputs, outcome, sieve, &self.chain.state)? {
                    return Ok(());
                }
            }
            let pending = self.taken - self.given;
            if !open && pending == 0 {
                return Ok(());
            }
            // An idle lane takes the next item whatever the budget says, so it always moves.
            let admit = open && pending < self.limit && (pending == 0 || self.chain.state.budget.has_room(self.largest));
            let work = self.done.1.clone();
            if admit && self.working > 0 {
                channel::select_biased! {
                    recv(work) -> result => self.finished(result),
                    recv(input.channel()) -> message => match message {
                        Ok(message) => self.dispatch(input.took(message)),
                        Err(_) => open = false,
                    },
                }
            } else if admit {
                match input.recv() {
                    Some(message) => self.dispatch(message),
                    None => open = false,
                }
            } else {
                self.finished(work.recv());
            }
        }
    }

    fn finished(&mut self, result: Result<(u64, Outcome), channel::RecvError>) {
        // The dispatcher itself holds a sender, so the channel is never disconnected.
        if let Ok((sequence, outcome)) = result {
            self.working -= 1;
            if let Outcome::Whole(Message::Item(held)) = &outcome {
                self.largest = self.largest.max(held.item.bytes);
            }
            self.order.insert(sequence, outcome);
        }
    }

    fn dispatch(&mut self, message: Message) {
        let sequence = self.taken;
        self.taken += 1;
        if let Message::EpochEnd(_) = message {
            self.order.insert(sequence, Outcome::Whole(message));
            return;
        }
        self.working += 1;
        let (chain, done) = (self.chain.clone(), self.done.0.clone());
        self.pool.spawn(move || {
            // The dispatcher may be gone because the run ended; then the result is dropped.
            let _ = done.send((sequence, chain.apply(message)));
        });
    }
}

/// Passes a result on, or skips it; false when its consumers are gone.
fn send(outputs: &[Sender], outcome: Outcome, sieve: &mut Sieve<'_>, state: &RunState) -> Result<bool, RunError> {
    let message = match outcome {
        Outcome::Broken(error, epoch) => {
            sieve.leave_out(error, epoch)?;
            return Ok(!state.control.is_cancelled());
        }
        Outcome::Whole(message) => message,
    };
    match message {
        Message::Item(_) => sieve.passed(),
        Message::EpochEnd(epoch) => sieve.epoch_end(epoch)?,
    }
    Ok(!state.control.is_cancelled() && broadcast(outputs, message).is_ok())
}
