//! `summary.json`: how a run ended, its last figures, what it held of memory and where the time went.

use pipeline_contract::Fields;
use pipeline_contract::events::{Leak, Line, Named, Status};
use serde::Serialize;
use serde_json::Value;

use super::followed::BestEpoch;
use super::warned::WarningCount;
use crate::engine::{EdgeUse, Skipped, StageTime};
use crate::spec::Best;

/// Peaks in bytes. Device is what the device's lane holds, host what decoded images, queues and buffers hold.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Memory {
    /// What was planned for the device; `null` while there is no plan.
    pub device_planned_peak: Option<u64>,
    /// What the device held at most; on the CPU, what its lane had allocated. `null` where it can't be measured.
    pub device_measured_peak: Option<u64>,
    /// What was planned for the host: the run's budget.
    pub host_planned_peak: Option<u64>,
    /// What payloads on their way held at most.
    pub host_measured_peak: Option<u64>,
    /// What all but the device's lane had allocated at most, in blocks large enough to be counted; `null` in a program without the
    /// counting allocator.
    pub host_allocated_peak: Option<u64>,
    /// What the whole process had resident at most, where the system tells (Linux).
    pub process_measured_peak: Option<u64>,
    /// The machine's cards with `name`, `total` and `used` bytes (by all programs, when the run ended), where a driver tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cards: Option<Value>,
}

/// The process's peak resident set in bytes, as Linux counts it.
pub(super) fn process_peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The figures of the epoch with the best evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BestFigures {
    /// The epoch.
    pub epoch: u64,
    /// The metric that it is the best by.
    pub metric: String,
    /// The evaluator whose metric that is.
    pub of: Option<String>,
    /// The metric's value.
    pub value: f64,
    /// The line of each evaluator in that epoch, by its id.
    pub evals: Named<Line>,
}

/// A run that ended because it no longer got better.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoppedEarly {
    /// The last epoch, from 1.
    pub epoch: u64,
    /// The epoch with the best evaluation; `None` where none gave a number.
    pub best_epoch: Option<u64>,
    /// The metric that no longer got better.
    pub metric: String,
}

impl BestFigures {
    /// The best epoch by the file's own choice; `None` where there is none.
    pub(super) fn of(best: Option<&Best>, epoch: Option<&BestEpoch>) -> Option<Self> {
        let (Best { metric, of, .. }, BestEpoch { epoch, value, lines }) = best.zip(epoch)?;
        Some(Self { epoch: *epoch, metric: metric.clone(), of: of.clone(), value: *value, evals: by_stage(lines) })
    }
}

/// Lines of evaluations by their evaluators' ids.
pub(super) fn by_stage(lines: &[Line]) -> Named<Line> {
    let named = |line: &Line| Some((line.evaluation()?.stage.clone(), line.clone()));
    lines.iter().filter_map(named).collect()
}

/// What `summary.json` holds.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The pipeline's name.
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Seconds that it took.
    pub seconds: f64,
    /// The share, from 0 to 1, of the time from its first micro-batch to its end that the device's lane waited for its inputs;
    /// `null` where nothing is trained, or the run failed.
    pub device_idle: Option<f64>,
    /// Optimizer steps.
    pub steps: u64,
    /// Samples trained on.
    pub samples: u64,
    /// The line of the last evaluation; of several evaluators, of the one that decides which checkpoint is the best.
    pub eval: Option<Line>,
    /// With several evaluators the last line of each, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evals: Option<Named<Line>>,
    /// The epoch with the best evaluation; `None` without evaluations, or where the file keeps no best checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestFigures>,
    /// Why the run has fewer epochs than planned; `None` if it has all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<StoppedEarly>,
    /// Samples that were left out because they are broken.
    pub skipped_samples: Vec<Skipped>,
    /// What stages warned of in their data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<WarningCount>,
    /// Samples that are trained and measured on, where the file allows that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leaks: Vec<Leak>,
    /// Peaks of memory.
    pub memory: Memory,
    /// Where the time went.
    pub stages: Vec<StageTime>,
    /// What queued where.
    pub edges: Vec<EdgeUse>,
    /// How often the run has resumed from a checkpoint.
    pub resumes: u64,
    /// The newest checkpoint that was written since it started or resumed.
    pub checkpoint: Option<String>,
    /// What stages added, such as `weights_sha256`.
    pub entries: Fields,
}

impl Summary {
    /// The file's content; the stages' own entries stand at the top level.
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("entries");
            for (key, entry) in &self.entries {
                map.entry(key.clone()).or_insert_with(|| entry.clone());
            }
        }
        format!("{value:#}\n")
    }
}

#[cfg(test)]
impl Summary {
    /// The summary of a run that did nothing, to be filled in by tests.
    pub(super) fn testing() -> Self {
        Self {
            leaks: Vec::new(),
            name: "test".into(),
            status: Status::Complete,
            error: None,
            seconds: 1.0,
            device_idle: None,
            steps: 0,
            samples: 0,
            eval: None,
            evals: None,
            best: None,
            stopped_early: None,
            skipped_samples: Vec::new(),
            warnings: Vec::new(),
            memory: Memory::default(),
            stages: Vec::new(),
            edges: Vec::new(),
            resumes: 0,
            checkpoint: None,
            entries: Fields::new(),
        }
    }
}
