//! Runs a checked pipeline in a folder and leaves there all that the run's contract names.

use std::fmt;
use std::io;
use std::sync::Arc;

use pipeline_contract::{End, Events, Fields, memory};
use serde_json::{Value, json};

use super::folder::Folder;
use super::metrics::Metrics;
use super::progress::Progress;
use super::summary::{Memory, Status, Summary, process_peak};
use crate::engine::{self, Control, RunError, RunOptions};
use crate::graph::{Format, draw};
use crate::plan::{Plan, size};
use crate::spec::{Pipeline, to_yaml};

/// Why a run failed.
#[derive(Debug)]
pub enum Failure {
    /// A file of the run's folder could not be written.
    Folder(String, io::Error),
    /// A stage failed.
    Stage(RunError),
}

impl Failure {
    /// How to mend it, where that is known.
    pub fn mend(&self) -> Option<&str> {
        match self {
            Self::Folder(..) => None,
            Self::Stage(error) => error.cause.mend(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(file, error) => write!(f, "can't write {file}: {error}"),
            Self::Stage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// Runs the pipeline to its end. The summary is written however it ends; `cards` is asked then for what it says of cards.
///
/// # Errors
/// The failure of a stage, or a file that can't be written.
pub fn execute(
    pipeline: &Pipeline,
    folder: &Folder,
    control: &Control,
    progress: Progress,
    cards: fn() -> Option<Value>,
) -> Result<Summary, Failure> {
    let written = |name: &str, result: io::Result<()>| result.map_err(|error| unwritable(folder, name, error));
    written("resolved.yml", folder.write("resolved.yml", to_yaml(&pipeline.resolved).as_bytes()))?;
    written("graph.svg", folder.write("graph.svg", draw(&pipeline.graph, &pipeline.name, Format::Svg, None).as_bytes()))?;
    let metrics = Metrics::create(&folder.path().join("metrics.jsonl"), control.clone(), progress)
        .map_err(|error| unwritable(folder, "metrics.jsonl", error))?;
    let metrics = Arc::new(metrics);
    // What choosing settings took, before, isn't the run's.
    memory::reset_peak(memory::Side::Host);
    let settings = &pipeline.settings;
    let options = RunOptions {
        epochs: settings.epochs,
        seed: settings.seed,
        host_memory_budget: settings.host_memory_budget,
        out: folder.path().into(),
        events: metrics.clone(),
    };
    // A file that trains nothing has no plan, and needs none to run.
    let plan = Plan::of(pipeline).map(Plan::rehearsed).ok();
    if let Some(plan) = &plan {
        metrics.record("plan", plan.figures());
        // A fit weighs what the network takes; what an allocator makes of it is known only of the settings that were chosen.
        if let Some(budget) = settings.memory_budget.filter(|&budget| plan.device_peak() > budget) {
            let (peak, budget) = (size(plan.device_peak()), size(budget));
            tracing::warn!(
                "the device's allocator will reserve {peak}, more than the budget of {budget}: name a smaller budget"
            );
        }
    }
    let outcome = engine::run(&pipeline.graph, options, control);
    let status = match &outcome {
        Ok(report) if report.end == End::Complete => Status::Complete,
        Ok(_) => Status::Interrupted,
        Err(_) => Status::Failed,
    };
    metrics.record("end", Fields::from_iter([("status".to_owned(), json!(status))]));
    metrics.progress().finish();
    let (kept, unwritten) = metrics.take();
    let count = |name: &str| kept.step.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (stages, edges, host_peak) = match &outcome {
        Ok(report) => (report.stages.clone(), report.edges.clone(), Some(report.host_bytes_peak)),
        Err(_) => (Vec::new(), Vec::new(), control.host_bytes().map(|(_, peak)| peak)),
    };
    let summary = Summary {
        name: pipeline.name.clone(),
        status,
        error: outcome.as_ref().err().map(ToString::to_string),
        seconds: metrics.seconds(),
        device_idle: outcome.as_ref().ok().and_then(|report| report.device_idle),
        steps: count("step"),
        samples: count("samples"),
        eval: kept.eval.clone(),
        memory: Memory {
            device_planned_peak: plan.as_ref().map(|plan| plan.device_peak()),
            device_measured_peak: kept.device_bytes_peak,
            host_planned_peak: plan.as_ref().map(|plan| plan.host.peak()),
            host_measured_peak: host_peak,
            host_allocated_peak: memory::usage(memory::Side::Host).map(|usage| usage.peak),
            process_measured_peak: process_peak(),
            cards: cards(),
        },
        stages,
        edges,
        entries: kept.entries,
    };
    let summarized = written("summary.json", folder.write("summary.json", summary.to_json().as_bytes()));
    // The stage's own failure says more than a summary that can't be written.
    outcome.map_err(Failure::Stage)?;
    if let Some(error) = unwritten {
        return Err(unwritable(folder, "metrics.jsonl", error));
    }
    summarized?;
    Ok(summary)
}

fn unwritable(folder: &Folder, name: &str, error: io::Error) -> Failure {
    Failure::Folder(folder.path().join(name).display().to_string(), error)
}
