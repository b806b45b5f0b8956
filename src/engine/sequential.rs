//! A lane that sees its items in order on one thread: a single CPU stage, or all stages of the device run to completion.

use std::sync::Arc;
use std::time::Instant;

use pipeline_contract::{End, ErasedSequential, Item, ItemContext, Result, StageError};

use super::call::{Meter, call};
use super::control::RunError;
use super::edge::{Held, Message, Sender, broadcast};
use super::idle::Idle;
use super::reader::{Next, Reader};
use super::run::Shared;

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
        let mut epochs = vec![0u64; entries.len()];
        let end = loop {
            if self.shared.control.is_cancelled() {
                return Ok(());
            }
            let asked = Instant::now();
            let next = reader.next().map_err(|_| self.overflow(entries))?;
            self.idle.waited(asked);
            let outcome = match next {
                Next::Item(input, held) => {
                    self.idle.begin();
                    self.item(entries[input], held)
                }
                Next::EpochEnd(input, epoch) => {
                    epochs[input] += 1;
                    self.port_ended(entries[input].0, epoch)
                }
                Next::Closed if epochs.iter().all(|&epochs| epochs == self.shared.options.epochs) => break End::Complete,
                Next::Closed => break End::Interrupted,
            };
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
        for member in &mut self.members {
            if let Some(running) = &mut member.running {
                let started = Instant::now();
                call(&member.stage, None, || running.finish(end))?;
                member.meter.add(0, started);
            }
        }
        Ok(())
    }

    fn item(&mut self, (position, port): (usize, usize), held: Held) -> std::result::Result<(), RunError> {
        // The input's memory is given back when the stage and all that it calls are done with it.
        let Held { item, hold: _hold } = held;
        self.deliver(position, port, item)
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
        let started = Instant::now();
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
