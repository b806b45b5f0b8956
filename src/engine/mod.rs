//! Runs a graph: one thread a lane, a pool of CPU workers, bounded edges between lanes, one budget of host memory.
//! It knows no image, no tensor and no stage by name; what a stage does is behind the contract.

mod budget;
mod call;
mod control;
mod edge;
mod idle;
mod order;
mod reader;
mod run;
mod sequential;
mod source;
mod workers;

pub use budget::EdgeUse;
pub use call::StageTime;
pub use control::{Control, RunError};
pub use run::{Report, RunOptions, run};
