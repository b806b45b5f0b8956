//! One run of a pipeline in its folder: figures as they come, progress for people, the summary at the end.
//! It knows no stage: all figures are events.

mod amount;
mod changes;
mod checkpoint;
mod counter;
mod execute;
mod fingerprints;
mod folder;
pub mod folds;
mod followed;
mod headline;
mod leaks;
mod metrics;
mod progress;
mod skipped;
mod summary;
mod warned;

pub(crate) use amount::amount;
pub use changes::{Change, Effect, compare};
pub use checkpoint::{Checkpoint, Damage, Found, newest, read as read_checkpoint};
pub(crate) use counter::Counter;
pub use execute::{Failure, Going, execute};
pub use folder::Folder;
pub use followed::{BestEpoch, Followed};
pub(crate) use headline::{by_class, outcome};
pub use leaks::leaks;
pub use metrics::{Kept, Mark};
pub use pipeline_contract::events::Status;
pub use progress::{LogWriter, Progress};
pub use summary::{BestFigures, Memory, StoppedEarly, Summary};
pub(crate) use warned::Warned;
pub use warned::WarningCount;
