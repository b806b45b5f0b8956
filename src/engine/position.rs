//! Where a lane stands between two items, and what its stages save there: enough to resume, and no more. What queues
//! before the lane is not part of it; it is recomputed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pipeline_contract::{Result, Saved};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A lane with what its stages saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where the lane stood.
    pub position: Position,
    /// How many samples the sources said that their epochs have.
    pub samples: BTreeMap<String, u64>,
    /// What stages of any lane settled for the whole run, by their ids.
    pub settled: BTreeMap<String, Value>,
    /// What each stage of the lane saved, in the lane's order, by its id.
    pub stages: Vec<(String, Saved)>,
}

impl Snapshot {
    /// Bytes of memory that the stages' buffers hold.
    pub fn bytes(&self) -> u64 {
        self.stages.iter().map(|(_, saved)| saved.bytes()).sum()
    }
}

/// Where a lane stands between two items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// How far each edge into the lane was read.
    pub inputs: Vec<InputPosition>,
    /// Which group of edges is read, and whose turn it is in there.
    pub turn: (usize, usize),
    /// For each stage of the lane, how many of its ports are in the middle of an epoch or before it.
    pub open_ports: Vec<usize>,
}

/// How far an edge was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputPosition {
    /// The edge, by the ids of its stages.
    pub from: String,
    /// The stage that it feeds.
    pub to: String,
    /// Epochs that have ended.
    pub epochs: u64,
    /// Items taken since.
    pub items: u64,
    /// How many items of the source's epoch these were made of, and the ones that were dropped on the way; counted in pieces where a flat map
    /// lies between, so that it may be in the middle of a sample.
    pub until: u64,
    /// The last item's sample.
    pub sample: String,
    /// True while it waits for the other edges to end their epoch.
    pub ended: bool,
}

impl InputPosition {
    /// An item was taken.
    pub fn took(&mut self, sample: &str, until: u64) {
        self.items += 1;
        self.until = until;
        sample.clone_into(&mut self.sample);
    }

    /// The epoch has ended.
    pub fn epoch_ended(&mut self) {
        (self.epochs, self.items, self.until) = (self.epochs + 1, 0, 0);
    }
}

/// Decides when a lane is saved, and keeps what it saved. Called on the lane's thread, between two items.
pub trait Keeper: Send + Sync {
    /// True when the lane should be saved now.
    fn due(&self, moment: Moment) -> bool;

    /// Keeps a snapshot; copying it to host memory took `seconds`.
    ///
    /// # Errors
    /// When it can't be kept and the run is worthless without it; a delay is no error.
    fn keep(&self, snapshot: Snapshot, moment: Moment, copied: f64) -> Result<()>;
}

/// When a lane is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The run continues.
    Running,
    /// The run was asked to stop, and does so now.
    Stopped,
    /// All epochs are done.
    Complete,
}

/// Where a source begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// The epoch, from 0.
    pub epoch: u64,
    /// What of that epoch is not processed again.
    pub used: Used,
    /// The sample that the last of it must belong to, at the end of a list of samples.
    pub sample: Option<String>,
    /// How many flat maps that sample's id has been through.
    pub levels: usize,
    /// How many samples an epoch must have.
    pub samples: Option<u64>,
}

impl Start {
    /// Items that are not emitted again.
    pub fn items(&self) -> u64 {
        self.used.until / self.used.pieces
    }

    /// The number, from 1, of the last item of which anything is not processed again; 0: none.
    pub fn touched(&self) -> u64 {
        self.used.until.div_ceil(self.used.pieces)
    }
}

/// How much of an epoch was used, counted in pieces: `pieces` of them are made of each of the source's items.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub until: u64,
    /// At least 1.
    pub pieces: u64,
}

impl Used {
    /// How many pieces of another size that is; rounded down.
    pub fn of(self, pieces: u64) -> u64 {
        let other = u128::from(self.until) * u128::from(pieces) / u128::from(self.pieces);
        u64::try_from(other).unwrap_or(u64::MAX)
    }
}

impl Default for Used {
    fn default() -> Self {
        Self { until: 0, pieces: 1 }
    }
}

impl Ord for Used {
    fn cmp(&self, other: &Self) -> Ordering {
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        product(self.until, other.pieces).cmp(&product(other.until, self.pieces))
    }
}

impl PartialOrd for Used {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Used {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Used {}

/// What was read of an edge before the run resumed, and is recomputed and discarded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Stale {
    /// Nothing.
    #[default]
    Nothing,
    /// Items made of no more than this much of the source's epoch, as [`InputPosition::until`] counts it.
    Until(u64, u64),
    /// The next items of an epoch, this many.
    Items(u64, u64),
}

impl Stale {
    /// Whether an item of this epoch was read before.
    pub fn covers(&mut self, epoch: u64, until: Option<u64>) -> bool {
        match (self, until) {
            (Self::Nothing, _) => false,
            (Self::Until(at, _) | Self::Items(at, _), _) if epoch < *at => true,
            (Self::Until(at, read), Some(until)) => epoch == *at && until <= *read,
            (Self::Items(at, left), Some(_)) => {
                let covered = epoch == *at && *left > 0;
                *left -= u64::from(covered);
                covered
            }
            // The end of the epoch that is being read.
            (_, None) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_compared_in_samples() {
        let used = |until, pieces| Used { until, pieces };
        assert!(used(3, 2) == used(6, 4) && used(3, 2) > used(1, 1) && used(u64::MAX, 1) > used(u64::MAX, 2));
        assert_eq!([1, 2, 4].map(|pieces| used(3, 2).of(pieces)), [1, 3, 6]);
        let start = |until, pieces| Start { used: used(until, pieces), ..Start::default() };
        assert_eq!(
            [start(16, 8), start(17, 8), Start::default()].map(|start| (start.items(), start.touched())),
            [(2, 2), (2, 3), (0, 0)]
        );
    }

    #[test]
    fn what_was_read_is_stale_and_nothing_else() {
        let mut until = Stale::Until(2, 4);
        assert!(until.covers(1, Some(9)) && until.covers(1, None), "an epoch before");
        assert!(until.covers(2, Some(2)) && until.covers(2, Some(4)));
        assert!(!until.covers(2, Some(6)) && !until.covers(2, None) && !until.covers(3, Some(2)));
        let mut items = Stale::Items(2, 2);
        assert!(items.covers(1, Some(0)) && items.covers(2, Some(0)) && items.covers(2, Some(0)));
        assert!(!items.covers(2, Some(0)) && !items.covers(2, None));
        assert!(!Stale::Nothing.covers(0, Some(0)));
    }
}
