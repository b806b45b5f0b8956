//! Checkpoints of a run: everything that decides its future, in `checkpoint/` of its folder. `file` is the format, `keeper` decides
//! when one is taken and writes it, `listing` finds them.

mod file;
mod keeper;
mod listing;

pub use file::{Damage, read};
pub(super) use keeper::CheckpointKeeper;
pub use listing::{Found, best_checkpoint, newest};

use serde_json::Value;

use super::metrics::Mark;
use crate::engine::Snapshot;
use crate::spec::Best;

/// All that decides the future of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Where the device's lane stood, and what its stages saved.
    pub snapshot: Snapshot,
    /// How far `metrics.jsonl` was written, and what the summary needs of it.
    pub mark: Mark,
    /// The file before settings were chosen for its memory budget.
    pub asked: Value,
    /// The overrides that were chosen for its memory budget.
    pub chosen: Vec<String>,
    /// The best evaluation's figure so far.
    pub best: Option<f64>,
    /// The metric that it is of; `None` in checkpoints of programs that knew only one.
    pub best_of: Option<Best>,
    /// Its number, from 1 over the whole run.
    pub number: u64,
}

impl Checkpoint {
    /// The best figure so far of a metric; `None` where the figure is another metric's, or none.
    pub(super) fn best_so_far(&self, of: Option<&Best>) -> Option<f64> {
        self.best.filter(|_| self.best_of.as_ref().is_none_or(|own| of.is_some_and(|of| own.is_like(of))))
    }
}

#[cfg(test)]
mod testing {
    use std::collections::BTreeMap;

    use pipeline_contract::{Buffer, Direction, Saved};
    use serde_json::json;

    use super::*;
    use crate::engine::{InputPosition, Position};

    /// A small one with a part of every type.
    pub(super) fn checkpoint() -> Checkpoint {
        let mut saved = Saved::default();
        saved.set("samples", ["a", "ü"]).unwrap();
        saved.set_float("loss", f64::NAN);
        saved.keep("weights.0", Buffer::Floats(vec![1.5, -0.0, f32::MAX]));
        saved.keep("pixels", Buffer::Bytes(vec![7; 5]));
        saved.keep("roc", Buffer::Counts(vec![u64::MAX]));
        let input = InputPosition { from: "batch".into(), to: "train".into(), items: 3, until: 6, ..InputPosition::default() };
        let position = Position { inputs: vec![input], turn: (0, 1), open_ports: vec![1, 2] };
        let stages = vec![("train".to_owned(), saved), ("clean".to_owned(), Saved::default())];
        Checkpoint {
            snapshot: Snapshot {
                position,
                samples: BTreeMap::from([("files".to_owned(), 600)]),
                settled: BTreeMap::from([("batch".to_owned(), json!(["a", 64, 64]))]),
                stages,
            },
            mark: Mark::default(),
            asked: json!({"seed": 42}),
            chosen: vec!["a=b".into()],
            best: Some(0.5),
            best_of: Some(Best { metric: "iou".into(), direction: Direction::Max, of: Some("validate".into()) }),
            number: 3,
        }
    }
}
