//! Reads the edges into a lane in an order that depends on the graph alone, never on timing, and can't lock up.

use std::collections::VecDeque;

use crossbeam_channel::Select;

use super::edge::{Held, Message, Receiver};
use super::position::Stale;

/// One edge into a lane.
#[derive(Debug)]
pub struct Input {
    pub receiver: Receiver,
    /// The other inputs of the lane that hang together with this one outside the lane. While this one is waited for they are
    /// taken off their edges, so that a full edge can't keep a stage that feeds both from feeding this one.
    pub relatives: Vec<usize>,
    stash: VecDeque<Message>,
    ended: bool,
    stale: Stale,
}

impl Input {
    pub fn new(receiver: Receiver, relatives: Vec<usize>) -> Self {
        Self { receiver, relatives, stash: VecDeque::new(), ended: false, stale: Stale::Nothing }
    }

    /// An input that was read before: some of its items are discarded, and it may wait for others to end their epoch.
    pub fn read_before(mut self, stale: Stale, ended: bool) -> Self {
        (self.stale, self.ended) = (stale, ended);
        self
    }

    fn is_stale(&mut self, message: &Message) -> bool {
        match message {
            Message::Item(held) => self.stale.covers(held.item.epoch, Some(held.item.until)),
            Message::EpochEnd(epoch) => self.stale.covers(*epoch, None),
        }
    }
}

/// Which group is read and which input is next there; and for each input whether it waits for the others.
pub type Place = ((usize, usize), Vec<bool>);

/// What a lane reads next.
#[derive(Debug)]
pub enum Next {
    /// An item at an input.
    Item(usize, Held),
    /// An input's epoch is over.
    EpochEnd(usize, u64),
    /// No more: all inputs are at their end, or one ended inside an epoch.
    Closed,
}

/// Reads a lane's inputs: group after group within each epoch, and within a group one item of each input, alternating.
#[derive(Debug)]
pub struct Reader {
    inputs: Vec<Input>,
    groups: Vec<Vec<usize>>,
    group: usize,
    turn: usize,
    stashed: u64,
    stash_limit: u64,
}

/// The inputs of a join come at such different rates that holding one back would take more than the run's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

impl Reader {
    /// A reader of these inputs; `groups` holds each input once, in the order in which an epoch reads them.
    /// No more than `stash_limit` bytes are held back.
    pub fn new(inputs: Vec<Input>, groups: Vec<Vec<usize>>, stash_limit: u64) -> Self {
        Self { inputs, groups, group: 0, turn: 0, stashed: 0, stash_limit }
    }

    /// Continues where another reader of these inputs was.
    pub fn at(mut self, (group, turn): (usize, usize)) -> Self {
        (self.group, self.turn) = (group, turn);
        self
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        ((self.group, self.turn), self.inputs.iter().map(|input| input.ended).collect())
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// When more would have to be held back than the run may hold.
    pub fn next(&mut self) -> Result<Next, Overflow> {
        let Some(input) = self.whose_turn() else { return Ok(Next::Closed) };
        self.turn += 1;
        let message = loop {
            match self.take(input)? {
                Some(message) if self.inputs[input].is_stale(&message) => {}
                other => break other,
            }
        };
        Ok(match message {
            Some(Message::Item(held)) => Next::Item(input, held),
            Some(Message::EpochEnd(epoch)) => {
                self.inputs[input].ended = true;
                Next::EpochEnd(input, epoch)
            }
            None => Next::Closed,
        })
    }

    /// The next input of the current group whose epoch isn't over; `None` when there are no inputs.
    fn whose_turn(&mut self) -> Option<usize> {
        for _ in 0..=self.groups.len() {
            let group = self.groups.get(self.group)?;
            let members = (0..group.len()).map(|offset| group[(self.turn + offset) % group.len()]);
            if let Some((offset, input)) = members.enumerate().find(|&(_, input)| !self.inputs[input].ended) {
                self.turn += offset;
                return Some(input);
            }
            self.turn = 0;
            self.group = (self.group + 1) % self.groups.len();
            if self.group == 0 {
                self.inputs.iter_mut().for_each(|input| input.ended = false);
            }
        }
        None
    }

    fn take(&mut self, wanted: usize) -> Result<Option<Message>, Overflow> {
        if let Some(message) = self.inputs[wanted].stash.pop_front() {
            self.stashed -= bytes(&message);
            return Ok(Some(message));
        }
        let first = &self.inputs[wanted].receiver;
        if let Ok(message) = first.channel().try_recv() {
            return Ok(Some(first.took(message)));
        }
        let mut waiting = self.inputs[wanted].relatives.clone();
        while !waiting.is_empty() {
            let mut select = Select::new();
            for &input in [&wanted].into_iter().chain(&waiting) {
                select.recv(self.inputs[input].receiver.channel());
            }
            let ready = select.select();
            let index = ready.index();
            let input = if index == 0 { wanted } else { waiting[index - 1] };
            let receiver = &self.inputs[input].receiver;
            let message = ready.recv(receiver.channel()).ok().map(|message| receiver.took(message));
            match message {
                message if input == wanted => return Ok(message),
                Some(message) => {
                    self.stashed += bytes(&message);
                    self.inputs[input].stash.push_back(message);
                    if self.stashed > self.stash_limit {
                        return Err(Overflow);
                    }
                }
                None => waiting.retain(|&other| other != input),
            }
        }
        Ok(self.inputs[wanted].receiver.recv())
    }
}

fn bytes(message: &Message) -> u64 {
    if let Message::Item(held) = message { held.item.bytes } else { 0 }
}
