//! One run of a pipeline in its folder: figures as they come, progress for people, the summary at the end.
//! It knows no stage: figures are named events with fields, whoever sends them.

mod amount;
mod execute;
mod folder;
mod metrics;
mod progress;
mod skipped;
mod summary;

pub(crate) use amount::amount;
pub use execute::{Failure, execute};
pub use folder::Folder;
pub use progress::{LogWriter, Progress};
pub use summary::{Memory, Status, Summary};
