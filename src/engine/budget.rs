//! The run's host memory: what every edge holds, in items and bytes, and what all payloads between stages hold together.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::graph::Bound;

/// The most that one edge held.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EdgeUse {
    /// The producing stage's id.
    pub from: String,
    /// The consuming stage's id.
    pub to: String,
    /// What it may hold.
    pub bound: Bound,
    /// The most items that it held.
    pub peak_items: usize,
    /// The most bytes that it held.
    pub peak_bytes: u64,
}

/// The accounts of one run.
///
/// Every payload between stages is held once by the whole run's account (its [`Hold`]), and by each edge on which it queues.
/// An edge admits an item while it and the run have room, and always when it is empty: each edge can hold one item
/// whatever the budget says, so an acyclic graph can't lock up.
#[derive(Debug)]
pub struct Budget {
    total: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often something entered or left an edge.
    moves: u64,
    used: u64,
    peak: u64,
    cancelled: bool,
    edges: Vec<EdgeState>,
}

#[derive(Debug)]
struct EdgeState {
    account: EdgeUse,
    items: usize,
    bytes: u64,
    closed: bool,
}

/// Why an edge takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Self { total, state: Mutex::default(), changed: Condvar::new() })
    }

    /// The whole run's bytes.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Opens an account for an edge and returns its number.
    pub fn open_edge(&self, from: &str, to: &str, bound: Bound) -> usize {
        let mut state = self.state();
        let account = EdgeUse { from: from.into(), to: to.into(), bound, peak_items: 0, peak_bytes: 0 };
        state.edges.push(EdgeState { account, items: 0, bytes: 0, closed: false });
        state.edges.len() - 1
    }

    /// Counts a payload that exists from now on; never waits.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Hold {
        let mut state = self.state();
        state.used += bytes;
        state.peak = state.peak.max(state.used);
        Hold { budget: self.clone(), bytes }
    }

    /// Whether `bytes` more would fit.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.state().used.saturating_add(bytes) <= self.total
    }

    /// Bytes held now and at the peak, over the whole run.
    pub fn used(&self) -> (u64, u64) {
        let state = self.state();
        (state.used, state.peak)
    }

    /// Bytes held now by cause: the queues that hold any, and the payloads that stages work on. A payload
    /// that queues on several branches is in each of them.
    pub fn by_cause(&self) -> Vec<(String, u64)> {
        let state = self.state();
        let queues = state.edges.iter().filter(|edge| edge.bytes > 0);
        let mut held: Vec<_> =
            queues.map(|edge| (format!("queue {} -> {}", edge.account.from, edge.account.to), edge.bytes)).collect();
        let queued: u64 = held.iter().map(|(_, bytes)| bytes).sum();
        held.push(("in work".to_owned(), state.used.saturating_sub(queued)));
        held
    }

    /// Waits until the edge may take a message of `bytes`, and counts it there.
    ///
    /// # Errors
    /// When the edge's consumer is gone or the run was cancelled.
    pub fn admit(&self, edge: usize, bytes: u64) -> Result<(), Closed> {
        let mut state = self.state();
        loop {
            if state.cancelled || state.edges[edge].closed {
                return Err(Closed);
            }
            let within = state.used <= self.total;
            let entry = &mut state.edges[edge];
            let bound = entry.account.bound;
            let room = entry.items < bound.items && entry.bytes.saturating_add(bytes) <= bound.bytes && within;
            if room || entry.items == 0 {
                entry.items += 1;
                entry.bytes += bytes;
                entry.account.peak_items = entry.account.peak_items.max(entry.items);
                entry.account.peak_bytes = entry.account.peak_bytes.max(entry.bytes);
                state.moves += 1;
                return Ok(());
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A message left the edge.
    pub fn leave(&self, edge: usize, bytes: u64) {
        let mut state = self.state();
        let entry = &mut state.edges[edge];
        entry.items = entry.items.saturating_sub(1);
        entry.bytes = entry.bytes.saturating_sub(bytes);
        state.moves += 1;
        self.changed.notify_all();
    }

    /// The edge's consumer is gone: producers stop waiting for room.
    pub fn close(&self, edge: usize) {
        self.state().edges[edge].closed = true;
        self.changed.notify_all();
    }

    /// The run is over: producers stop waiting for room.
    pub fn cancel(&self) {
        self.state().cancelled = true;
        self.changed.notify_all();
    }

    /// How often something has entered or left an edge so far.
    pub fn moves(&self) -> u64 {
        self.state().moves
    }

    /// The edges that have no room for an item more, and how many each holds.
    pub fn full(&self) -> Vec<(String, usize)> {
        let state = self.state();
        let full = |edge: &&EdgeState| edge.items >= edge.account.bound.items || edge.bytes >= edge.account.bound.bytes;
        let name = |edge: &EdgeState| (format!("{} -> {}", edge.account.from, edge.account.to), edge.items);
        state.edges.iter().filter(full).map(name).collect()
    }

    /// The most that each edge held.
    pub fn edges(&self) -> Vec<EdgeUse> {
        self.state().edges.iter().map(|edge| edge.account.clone()).collect()
    }

    /// The accounts are plain numbers, right after every statement, so a panic elsewhere leaves them usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a payload between stages; returned when the last branch drops it.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.state().used -= self.bytes;
        self.budget.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_bounded_in_items_and_in_bytes_but_takes_one_item_of_any_size() {
        let budget = Budget::new(1000);
        let edge = budget.open_edge("a", "b", Bound { items: 2, bytes: 100 });
        let big = budget.hold(500);
        budget.admit(edge, 500).unwrap();
        budget.leave(edge, 500);
        drop(big);
        budget.admit(edge, 60).unwrap();
        let waiting = std::thread::spawn({
            let budget = budget.clone();
            move || budget.admit(edge, 60)
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!waiting.is_finished());
        budget.leave(edge, 60);
        assert_eq!(waiting.join().unwrap(), Ok(()));
        assert_eq!(budget.edges()[0].peak_bytes, 500);
    }

    #[test]
    fn a_full_budget_holds_up_all_but_empty_edges() {
        let budget = Budget::new(100);
        let (a, b) = (budget.open_edge("a", "b", Bound::default()), budget.open_edge("b", "c", Bound::default()));
        let _hold = budget.hold(150);
        budget.admit(a, 150).unwrap();
        budget.admit(b, 10).unwrap();
        assert!(!budget.has_room(1));
        budget.cancel();
        assert_eq!(budget.admit(a, 1), Err(Closed));
    }
}
