//! A lane that sees its items in order on one thread: a single CPU stage, or all stages of the device run to completion.

use std::time::Instant;

use pipeline_contract::{End, ErasedSequential, Item, ItemContext, Result, StageError};

use super::call::call;
use super::control::RunError;
use super::edge::{Held, Message, broadcast};
use super::idle::Idle;
use super::member::{Member, Target};
use super::options::RunOptions;
use super::position::{InputPosition, Moment};
use super::reader::{Next, Place, Reader};
use super::saving::Saving;
use super::sieve::Sieve;
use super::state::RunState;

/// A lane's stages, and how far they have come.
pub struct Sequence<'a> {
    pub members: Vec<Member>,
    /// For each input, the position of the stage that it feeds and the port there.
    entries: Vec<(usize, usize)>,
    /// How far each edge into the lane was read.
    inputs: Vec<InputPosition>,
    options: &'a RunOptions,
    state: &'a RunState,
    /// How many items of the source's epoch went into the current item, or the last one.
    until: u64,
    /// The first failure inside nested calls; stages themselves only see "stopped".
    failure: Option<RunError>,
    /// How long it has waited for its inputs.
    pub idle: Idle,
    /// `None` on lanes that are recomputed when a run resumes.
    pub saving: Option<Saving>,
    /// On a CPU lane; the device's lane leaves nothing out.
    pub sieve: Option<Sieve<'a>>,
}

impl<'a> Sequence<'a> {
    /// A lane that is not saved and leaves nothing out; set [`Self::saving`] and [`Self::sieve`] for that.
    pub fn new(
        members: Vec<Member>,
        entries: Vec<(usize, usize)>,
        inputs: Vec<InputPosition>,
        options: &'a RunOptions,
        state: &'a RunState,
    ) -> Self {
        let idle = Idle::default();
        Self { members, entries, inputs, options, state, until: 0, failure: None, idle, saving: None, sieve: None }
    }

    /// Reads and runs until the inputs end.
    ///
    /// # Errors
    /// The lane's first failure.
    pub fn run(&mut self, reader: &mut Reader) -> std::result::Result<(), RunError> {
        let result = self.run_to_end(reader);
        self.state.control.check(result)
    }

    fn run_to_end(&mut self, reader: &mut Reader) -> std::result::Result<(), RunError> {
        let end = loop {
            if self.state.control.is_cancelled() {
                return Ok(());
            }
            if self.is_over() {
                break End::Complete;
            }
            let before = self.saving.is_some().then(|| reader.place());
            let asked = Instant::now();
            let next = reader.next().map_err(|_| self.overflow())?;
            self.idle.waited(asked);
            // A lane that is saved needn't finish the items under way: they are recomputed when the run resumes.
            let stopping = self.state.control.is_draining() && !self.state.control.is_cancelled();
            if let Some(before) = before.filter(|_| stopping && !(matches!(next, Next::Closed) && self.is_complete())) {
                self.state.control.cut_short();
                self.keep(|| before, Moment::Stopped)?;
                break End::Interrupted;
            }
            let outcome = match next {
                Next::Item(input, held) => {
                    self.idle.begin();
                    let (sample, until) = (held.item.sample.clone(), held.item.until);
                    let outcome = self.item(self.entries[input], held);
                    self.inputs[input].took(&sample, until);
                    outcome
                }
                Next::EpochEnd(input, epoch) => {
                    self.inputs[input].epoch_ended();
                    self.port_ended(self.entries[input].0, epoch)
                }
                Next::Closed if self.is_complete() => break End::Complete,
                Next::Closed => break End::Interrupted,
            };
            if outcome.is_ok() {
                self.keep(|| reader.place(), Moment::Running)?;
            }
            match outcome {
                Ok(()) => {}
                // A consumer has ended: this lane ends too, as interrupted as that one.
                Err(error) if error.cause.is_stopped() && self.failure.is_none() => {
                    break if self.is_over() { End::Complete } else { End::Interrupted };
                }
                Err(error) => return Err(self.failure.take().unwrap_or(error)),
            }
        };
        if self.state.control.is_cancelled() {
            return Ok(());
        }
        if end == End::Complete {
            self.keep(|| reader.place(), Moment::Complete)?;
        }
        for member in &mut self.members {
            if let Some(running) = &mut member.running {
                let started = Instant::now();
                let _working = self.state.activity.enter(&member.stage, None);
                call(&member.stage, None, || running.finish(end))?;
                member.meter.add(0, started);
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.is_over() || self.inputs.iter().all(|input| input.epochs == self.options.epochs)
    }

    /// True when the run was told to end after the epochs that this lane has done. A lane before the device's may have begun a later one.
    fn is_over(&self) -> bool {
        let epochs = self.state.control.epochs();
        epochs < self.options.epochs && self.inputs.iter().all(|input| input.epochs >= epochs)
    }

    /// Saves the lane, which stands where `place` says, if it is time.
    fn keep(&mut self, place: impl FnOnce() -> Place, moment: Moment) -> std::result::Result<(), RunError> {
        match &self.saving {
            Some(saving) if saving.keeper.due(moment) => saving.keep(&mut self.members, &self.inputs, place(), moment),
            _ => Ok(()),
        }
    }

    fn item(&mut self, (position, port): (usize, usize), held: Held) -> std::result::Result<(), RunError> {
        let before = std::mem::replace(&mut self.until, held.item.until);
        // The input's memory is given back when the stage and all that it calls are done with it.
        let Held { item, hold: _hold } = held;
        let epoch = item.epoch;
        let result = self.deliver(position, port, item);
        let Some(sieve) = &mut self.sieve else { return result };
        match result {
            // After a panic the stage's state is unknown, whatever its error says.
            Err(error) if error.cause.is_of_sample() && !error.panicked => {
                // It went into nothing, so that what comes next ends with the item before.
                self.until = before;
                sieve.leave_out(error, epoch)
            }
            Ok(()) => {
                sieve.passed();
                Ok(())
            }
            failed => failed,
        }
    }

    fn deliver(&mut self, position: usize, port: usize, item: Item) -> std::result::Result<(), RunError> {
        let (stage, sample, epoch) = (self.members[position].stage.clone(), item.sample.clone(), item.epoch);
        let seed = self.options.seed;
        self.enter(position, Some(&sample), 1, |running, sink| {
            let cx = ItemContext { stage: &stage, seed, epoch, sample: &sample };
            running.item(port, item, &cx, sink)
        })
    }

    /// One port of a stage has ended its epoch; when all have, the stage ends its own and its consumers hear of it.
    fn port_ended(&mut self, position: usize, epoch: u64) -> std::result::Result<(), RunError> {
        let member = &mut self.members[position];
        member.open_ports -= 1;
        if member.open_ports > 0 {
            return Ok(());
        }
        member.open_ports = member.ports;
        if let Some(sieve) = &mut self.sieve {
            sieve.epoch_end(epoch)?;
        }
        self.enter(position, None, 0, |running, sink| running.epoch_end(epoch, sink))?;
        for target in 0..self.members[position].targets.len() {
            match &self.members[position].targets[target] {
                Target::Inside { position, .. } => self.port_ended(*position, epoch)?,
                Target::Edges(edges) => broadcast(edges, Message::EpochEnd(epoch)).map_err(|_| self.stopped(position))?,
            }
        }
        Ok(())
    }

    /// Calls a stage with a sink that hands on what it emits, at once and to the end.
    fn enter(
        &mut self,
        position: usize,
        sample: Option<&str>,
        items: u64,
        body: impl FnOnce(&mut dyn ErasedSequential, &mut dyn FnMut(Item) -> Result<()>) -> Result<()>,
    ) -> std::result::Result<(), RunError> {
        let stage = self.members[position].stage.clone();
        let meter = self.members[position].meter.clone();
        let Some(mut running) = self.members[position].running.take() else { return Err(self.stopped(position)) };
        let (started, activity) = (Instant::now(), self.state.activity.clone());
        let _working = activity.enter(&stage, sample);
        let result = call(&stage, sample, || {
            body(running.as_mut(), &mut |item| {
                let leaving = Instant::now();
                let result = self.route(position, item);
                meter.subtract(leaving);
                result.map_err(|error| {
                    if !error.cause.is_stopped() {
                        self.failure.get_or_insert(error);
                    }
                    StageError::stopped()
                })
            })
        });
        meter.add(items, started);
        self.members[position].running = Some(running);
        result
    }

    /// Hands an item to every target; the last one gets the original, so a sole consumer shares nothing.
    fn route(&mut self, position: usize, item: Item) -> std::result::Result<(), RunError> {
        let last = self.members[position].targets.len().saturating_sub(1);
        let mut item = Some(item);
        for target in 0..=last {
            let Some(item) = (if target == last { item.take() } else { item.clone() }) else { break };
            match self.members[position].targets.get(target) {
                Some(&Target::Inside { position, port }) => self.deliver(position, port, item)?,
                Some(Target::Edges(edges)) => {
                    let mut item = item;
                    item.until = self.until;
                    let held = Held::new(item, &self.state.budget);
                    broadcast(edges, Message::Item(held)).map_err(|_| self.stopped(position))?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn stopped(&self, position: usize) -> RunError {
        let stage = self.members[position].stage.to_string();
        RunError { stage, sample: None, cause: StageError::stopped(), panicked: false }
    }

    fn overflow(&self) -> RunError {
        let stage = self.entries.first().map_or_else(String::new, |&(position, _)| self.members[position].stage.to_string());
        let cause = StageError::new(format!(
            "its inputs arrive at such different rates that more than the host budget ({} bytes) would wait for the slower one",
            self.options.host_memory_budget
        ))
        .help("give the faster input a separate source, or raise trainer.host_memory_budget");
        RunError { stage, sample: None, cause, panicked: false }
    }
}
