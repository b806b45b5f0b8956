//! A lane that sees its items in order on one thread: a single CPU stage, or all stages of the device run to completion.

use std::sync::Arc;
use std::time::Instant;

use pipeline_contract::{End, ErasedSequential, Item, ItemContext, Result, Shelf, StageError};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Sender, broadcast};
use super::idle::Idle;
use super::position::{InputPosition, Keeper, Moment, Position, Snapshot};
use super::reader::{Next, Reader};
use super::run::Shared;
use super::sieve::Sieve;

/// Where a stage's items go.
pub enum Target {
    /// To a stage of the same lane: an ordinary call.
    Inside {
        /// Its position in the lane.
        position: usize,
        /// The input port there.
        port: usize,
    },
    /// To other lanes.
    Edges(Vec<Sender>),
}

/// One stage of the lane.
pub struct Member {
    pub stage: Arc<str>,
    /// Taken out while it is being called.
    pub running: Option<Box<dyn ErasedSequential>>,
    pub targets: Vec<Target>,
    pub meter: Arc<Meter>,
    /// How many input ports have not ended their current epoch.
    pub open_ports: usize,
    pub ports: usize,
}

/// A lane's stages and the run that they are in.
pub struct Sequence<'a> {
    pub members: Vec<Member>,
    pub shared: &'a Shared,
    /// How far each edge into the lane was read.
    pub inputs: Vec<InputPosition>,
    /// Who keeps what the lane's stages save; nobody, where they are made anew.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// How many items of the source's epoch went into the item in hand, or the last one.
    pub until: u64,
    /// On a CPU lane; the device's lane leaves nothing out.
    pub sieve: Option<Sieve<'a>>,
    /// The first failure inside nested calls; what passes through stages' hands is only "stopped".
    pub failure: Option<RunError>,
    /// What it has waited for its inputs.
    pub idle: Idle,
}

impl Sequence<'_> {
    /// Reads and runs until the inputs end; `entries` says which stage and port each input feeds.
    pub fn run(&mut self, reader: &mut Reader, entries: &[(usize, usize)]) -> std::result::Result<(), RunError> {
        let result = self.run_to_end(reader, entries);
        self.shared.tell(result)
    }

    fn run_to_end(&mut self, reader: &mut Reader, entries: &[(usize, usize)]) -> std::result::Result<(), RunError> {
        let end = loop {
            if self.shared.control.is_cancelled() {
                return Ok(());
            }
            let before = self.keeper.is_some().then(|| reader.place());
            let asked = Instant::now();
            let next = reader.next().map_err(|_| self.overflow(entries))?;
            self.idle.waited(asked);
            // A lane that is saved needn't work off what is on its way: it is made again when the run goes on.
            let stopping = self.shared.control.is_draining() && !self.shared.control.is_cancelled();
            if let Some(before) = before.filter(|_| stopping && !(matches!(next, Next::Closed) && self.is_complete())) {
                self.shared.control.cut_short();
                self.keep(|| before, Moment::Stopped)?;
                break End::Interrupted;
            }
            let outcome = match next {
                Next::Item(input, held) => {
                    self.idle.begin();
                    let (sample, until) = (held.item.sample.clone(), held.item.until);
                    let outcome = self.item(entries[input], held);
                    self.inputs[input].took(&sample, until);
                    outcome
                }
                Next::EpochEnd(input, epoch) => {
                    self.inputs[input].epoch_ended();
                    self.port_ended(entries[input].0, epoch)
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
                Err(error) if error.cause.is_stopped() && self.failure.is_none() => break End::Interrupted,
                Err(error) => return Err(self.failure.take().unwrap_or(error)),
            }
        };
        if self.shared.control.is_cancelled() {
            return Ok(());
        }
        if end == End::Complete {
            self.keep(|| reader.place(), Moment::Complete)?;
        }
        for member in &mut self.members {
            if let Some(running) = &mut member.running {
                let started = Instant::now();
                let _at_work = self.shared.desks.enter(&member.stage, None);
                call(&member.stage, None, || running.finish(end))?;
                member.meter.add(0, started);
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.inputs.iter().all(|input| input.epochs == self.shared.options.epochs)
    }

    /// Saves the lane, which stands where `place` says, if it is time.
    fn keep(
        &mut self,
        place: impl FnOnce() -> ((usize, usize), Vec<bool>),
        moment: Moment,
    ) -> std::result::Result<(), RunError> {
        let Some(keeper) = self.keeper.clone().filter(|keeper| keeper.due(moment)) else { return Ok(()) };
        let (started, (turn, ended)) = (Instant::now(), place());
        let inputs = self.inputs.iter().cloned().zip(ended).map(|(input, ended)| InputPosition { ended, ..input }).collect();
        let open_ports = self.members.iter().map(|member| member.open_ports).collect();
        let mut stages = Vec::new();
        for member in &mut self.members {
            if let Some(running) = &mut member.running {
                stages.push((member.stage.to_string(), call(&member.stage, None, || running.save())?));
            }
        }
        let position = Position { inputs, turn, open_ports };
        let (samples, settled) = (self.shared.samples.all(), self.shared.settled.all());
        let snapshot = Snapshot { position, samples, settled, stages };
        let last = self.members.last().map_or("", |member| &member.stage);
        call(last, None, || keeper.keep(snapshot, moment, started.elapsed().as_secs_f64()))
    }

    /// Goes on where a snapshot of this lane was taken.
    pub fn restore(&mut self, snapshot: &mut Snapshot) -> std::result::Result<(), RunError> {
        let mut shelf = Shelf::default();
        let fits = |member: &Member, open: usize| (1..=member.ports).contains(&open);
        let open = &snapshot.position.open_ports;
        if open.len() != self.members.len() || !self.members.iter().zip(open).all(|(member, &open)| fits(member, open)) {
            let stage = self.members.first().map_or_else(String::new, |member| member.stage.to_string());
            let cause = StageError::new("what was saved is of other stages than these");
            return Err(RunError { stage, sample: None, cause, panicked: false });
        }
        for (member, &open_ports) in self.members.iter_mut().zip(&snapshot.position.open_ports) {
            member.open_ports = open_ports;
            let saved = snapshot.stages.iter_mut().find(|(stage, _)| **stage == *member.stage);
            // Taken, not copied: it is as large as the network.
            let saved = saved.map(|(_, saved)| std::mem::take(saved)).unwrap_or_default();
            if let Some(running) = &mut member.running {
                call(&member.stage, None, || running.restore(saved, &mut shelf))?;
            }
        }
        Ok(())
    }

    fn item(&mut self, (position, port): (usize, usize), held: Held) -> std::result::Result<(), RunError> {
        let before = std::mem::replace(&mut self.until, held.item.until);
        // The input's memory is given back when the stage and all that it calls are done with it.
        let Held { item, hold: _hold } = held;
        let epoch = item.epoch;
        let result = self.deliver(position, port, item);
        let Some(sieve) = &mut self.sieve else { return result };
        match result {
            // After a panic nobody knows the stage's state, whatever it would have said.
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
        let seed = self.shared.options.seed;
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
        let (started, desks) = (Instant::now(), self.shared.desks.clone());
        let _at_work = desks.enter(&stage, sample);
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

    /// Hands an item to every target; the last one gets the original, so that a sole consumer shares with nobody.
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
                    let held = Held::new(item, &self.shared.budget);
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

    fn overflow(&self, entries: &[(usize, usize)]) -> RunError {
        let stage = entries.first().map_or_else(String::new, |&(position, _)| self.members[position].stage.to_string());
        let cause = StageError::new(format!(
            "its inputs come at such different rates that more than the whole host budget ({} bytes) would wait for the slower one",
            self.shared.options.host_memory_budget
        ))
        .help("give the faster input a source of its own, or raise trainer.host_memory_budget");
        RunError { stage, sample: None, cause, panicked: false }
    }
}
