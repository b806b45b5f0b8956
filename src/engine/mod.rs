//! Runs a graph: one thread a lane, a pool of CPU workers, bounded edges between lanes, one budget of host memory.
//! It knows no image, no tensor and no stage by name; what a stage does is behind the contract.

mod activity;
mod budget;
mod builder;
mod call;
mod control;
mod edge;
mod idle;
mod lane;
mod member;
mod options;
mod order;
mod patience;
mod position;
mod reader;
mod resume;
mod run;
mod samples;
mod saving;
mod sequential;
mod sieve;
mod skipping;
mod source;
mod state;
mod upstream;
mod watch;
mod wiring;
mod workers;

pub use budget::EdgeUse;
pub use call::{StageTime, call};
pub use control::{Control, RunError};
pub use options::RunOptions;
pub use patience::Patience;
pub use position::{InputPosition, Keeper, Moment, Position, Snapshot};
pub use run::{Report, run};
pub use skipping::{Cap, OnError, SkipLedger, Skipped};
