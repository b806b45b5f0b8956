//! The lane of stateless stages: hands each item to the pool of workers, which run the whole chain, and restores the order. A flat map's pieces
//! stay together, in the order in which they were cut.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel as channel;
use pipeline_contract::{ErasedCache, ErasedFlatMap, ErasedMap, Item, ItemContext, Recalled, StageError};

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
    /// The epoch in which a run resumes, and how many items of it were used before.
    pub used: Option<(u64, u64)>,
    pub state: RunState,
}

/// One stage of the chain.
pub struct Link {
    pub stage: Arc<str>,
    pub work: Work,
    pub meter: Arc<Meter>,
}

/// What a stage does with an item.
pub enum Work {
    /// Makes another of it.
    Map(Arc<dyn ErasedMap>),
    /// Makes this many of it.
    FlatMap(Arc<dyn ErasedFlatMap>, u64),
    /// Keeps what the links before it made of it.
    Cache(Arc<dyn ErasedCache>),
}

impl Chain {
    /// Runs the chain on one message. The input's memory is given back as soon as the chain has made something else of it.
    fn apply(&self, message: Message) -> Outcome {
        let Message::Item(Held { item, hold }) = message else { return Outcome::Whole(vec![message]) };
        let (epoch, until, sample) = (item.epoch, item.until, item.sample.clone());
        let items = match self.through(item) {
            Ok(items) => items,
            Err(error) => return Outcome::Broken(error.of_whole(&sample), epoch),
        };
        drop(hold);
        let pieces = items.len() as u64;
        let numbered = items.into_iter().zip(1..).map(|(mut item, piece)| {
            item.until = until.saturating_sub(1).saturating_mul(pieces).saturating_add(piece);
            item
        });
        let new = numbered.filter(|item| !self.used.is_some_and(|(resumed, used)| epoch == resumed && item.until <= used));
        Outcome::Whole(new.map(|item| Message::Item(Held::new(item, &self.state.budget))).collect())
    }

    /// Runs the chain on one item: all of it, or what comes after a cache that has the item.
    fn through(&self, item: Item) -> Result<Vec<Item>, RunError> {
        let run = |links: &[Link], item| links.iter().try_fold(vec![item], |items, link| self.each(link, items));
        let cached = self.links.iter().enumerate().find_map(|(at, link)| match &link.work {
            Work::Cache(cache) => Some((at, link, cache)),
            Work::Map(_) | Work::FlatMap(..) => None,
        });
        let Some((at, link, cache)) = cached else { return run(&self.links, item) };
        let (before, after) = (&self.links[..at], &self.links[at + 1..]);
        match self.asked(link, 1, &item, |cx| cache.recall(&item, cx))? {
            Recalled::Kept(made) => run(after, made),
            Recalled::Missing(key) => {
                let mut made = run(before, item)?;
                // The graph lets nothing before a cache that makes several of one.
                let Some(made) = made.pop() else { return Ok(made) };
                self.asked(link, 0, &made, |cx| cache.keep(key, &made, cx))?;
                run(after, made)
            }
        }
    }

    /// Calls a stage about an item, which counts as `items` of those that it took.
    fn asked<T>(
        &self,
        link: &Link,
        items: u64,
        item: &Item,
        body: impl FnOnce(&ItemContext<'_>) -> pipeline_contract::Result<T>,
    ) -> Result<T, RunError> {
        let sample = item.sample.clone();
        let cx = ItemContext { stage: &link.stage, seed: self.seed, epoch: item.epoch, sample: &sample };
        let (started, _working) = (Instant::now(), self.state.activity.enter(&link.stage, Some(&sample)));
        let result = call(&link.stage, Some(&sample), || body(&cx));
        link.meter.add(items, started);
        result
    }

    /// Runs one stage on all pieces of a sample.
    fn each(&self, link: &Link, items: Vec<Item>) -> Result<Vec<Item>, RunError> {
        let mut made = Vec::with_capacity(items.len());
        for item in items {
            if self.state.control.is_cancelled() {
                let stage = link.stage.to_string();
                return Err(RunError { stage, sample: None, cause: StageError::stopped(), panicked: false });
            }
            made.extend(self.step(link, item)?);
        }
        Ok(made)
    }

    fn step(&self, link: &Link, item: Item) -> Result<Vec<Item>, RunError> {
        let (epoch, sample) = (item.epoch, item.sample.clone());
        let cx = ItemContext { stage: &link.stage, seed: self.seed, epoch, sample: &sample };
        let (started, _working) = (Instant::now(), self.state.activity.enter(&link.stage, Some(&sample)));
        let result = call(&link.stage, Some(&sample), || match &link.work {
            Work::Map(map) => Ok(vec![map.map(item, &cx)?]),
            Work::FlatMap(map, pieces) => as_many(*pieces, map.flat_map(item, &cx)?),
            Work::Cache(_) => Ok(vec![item]),
        });
        link.meter.add(1, started);
        result
    }
}

/// The length of an epoch and the position in it depend on how many pieces a sample makes.
fn as_many(pieces: u64, items: Vec<Item>) -> pipeline_contract::Result<Vec<Item>> {
    match items.len() as u64 {
        made if made == pieces => Ok(items),
        made => Err(StageError::new(format!("it made {made} items of one, and its kind says {pieces}"))),
    }
}

/// What becomes of one input, once it is its turn.
enum Outcome {
    /// It is handed on, in pieces if a flat map cut it.
    Whole(Vec<Message>),
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
            if let Outcome::Whole(messages) = &outcome {
                self.largest = self.largest.max(messages.iter().map(Message::bytes).sum());
            }
            self.order.insert(sequence, outcome);
        }
    }

    fn dispatch(&mut self, message: Message) {
        let sequence = self.taken;
        self.taken += 1;
        if let Message::EpochEnd(_) = message {
            self.order.insert(sequence, Outcome::Whole(vec![message]));
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
    let messages = match outcome {
        Outcome::Broken(error, epoch) => {
            sieve.leave_out(error, epoch)?;
            return Ok(!state.control.is_cancelled());
        }
        Outcome::Whole(messages) => messages,
    };
    for message in messages {
        match message {
            Message::Item(_) => sieve.passed(),
            Message::EpochEnd(epoch) => sieve.epoch_end(epoch)?,
        }
        if state.control.is_cancelled() || broadcast(outputs, message).is_err() {
            return Ok(false);
        }
    }
    Ok(!state.control.is_cancelled())
}
