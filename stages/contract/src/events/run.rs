//! What a run reports about itself: its start, plan, checkpoints, skipped samples, leaks and end.
//! Memory is in bytes, time in seconds.

use serde::{Deserialize, Serialize};

use super::ByCause;

/// A run begins; the first line of its figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartEvent {
    /// The version of the format of these figures: [`FORMAT`](super::FORMAT).
    pub format: u64,
    /// The pipeline's name.
    pub name: String,
    /// The program's version.
    pub version: String,
}

/// A run resumes from a checkpoint; lines written after that checkpoint have been cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeEvent {
    /// The last step before it.
    pub step: u64,
    /// How often the run has resumed.
    pub resumes: u64,
    /// The version of the format from here on.
    #[serde(default = "first_format")]
    pub format: u64,
}

/// Lines had the first format before they had a version.
fn first_format() -> u64 {
    1
}

/// The memory that the run will need at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEvent {
    /// The device's peak.
    pub device_planned_peak: u64,
    /// Where in the network that is.
    pub device_peak_place: String,
    /// The device's memory by cause at that peak.
    pub device_peak_by_cause: ByCause,
    /// The host's peak.
    pub host_planned_peak: u64,
    /// The host's maximum memory by cause.
    pub host_by_cause: ByCause,
}

/// A checkpoint is on the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointEvent {
    /// Its name in the folder of checkpoints.
    pub file: String,
    /// The last step in it.
    pub step: u64,
    /// Its size.
    pub bytes: u64,
    /// How long training waited for the copy.
    pub copy_seconds: f64,
    /// How long it took to write.
    pub write_seconds: f64,
}

/// A file or a folder may be wrong, and is used all the same. One for each subject of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarningEvent {
    /// The id of the stage that tells it.
    pub stage: String,
    /// What kind of thing it is, such as `mask_share`.
    pub kind: String,
    /// The file or the folder.
    pub subject: String,
    /// What was found and what to do about it.
    pub message: String,
}

/// A broken sample is skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSkippedEvent {
    /// The sample's id.
    pub sample: String,
    /// The id of the stage that it failed in.
    pub stage: String,
    /// The source or sources above that stage, joined by `+`.
    pub source: String,
    /// Why.
    pub error: String,
    /// The epoch in which it failed first, from 1.
    pub epoch: u64,
}

/// Samples of two sources show the same, and the file says to run all the same (`trainer.leaks: warn`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaksEvent {
    /// All of them.
    pub leaks: Vec<Leak>,
}

/// A sample of one source that shows the same as a sample of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// The id of the source that feeds the trainer; of two sources of test samples, the first.
    pub source: String,
    /// Its sample's id.
    pub sample: String,
    /// The id of the source that feeds an evaluator.
    pub other_source: String,
    /// Its sample's id.
    pub other_sample: String,
    /// What is the same, such as `file` or `mask`.
    pub same: String,
}

/// Nothing has moved for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StallEvent {
    /// For how long.
    pub quiet_seconds: f64,
    /// Which stage works on what, and which queues are full, as text.
    pub report: String,
}

/// The run has ended; its last line, unless it resumes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndEvent {
    /// How.
    pub status: Status,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All epochs were done.
    Complete,
    /// The user stopped it; items under way were finished.
    Interrupted,
    /// A stage failed.
    Failed,
}
