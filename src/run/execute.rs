//! Runs a checked pipeline in a folder and writes the run's files there.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use pipeline_contract::events::{EndEvent, FORMAT, Leak, LeaksEvent, ResumeEvent, StartEvent, Status};
use pipeline_contract::{BestCheckpoint, BuildContext, End, Events, lost, memory};
use serde_json::Value;

use super::checkpoint::{CheckpointKeeper, Found, best_checkpoint};
use super::folder::Folder;
use super::metrics::{Kept, Mark, Metrics};
use super::progress::Progress;
use super::skipped::{self, Quarantine};
use super::summary::{BestFigures, Memory, StoppedEarly, Summary, by_stage, process_peak};
use super::warned::Warned;
use crate::engine::{self, Control, Keeper, OnError, RunError, RunOptions, SkipLedger};
use crate::graph::{Format, draw};
use crate::plan::{Plan, size};
use crate::spec::{Best, Pipeline, to_yaml};

/// Why a run failed.
#[derive(Debug)]
pub enum Failure {
    /// A file of the run's folder could not be written.
    Folder(String, io::Error),
    /// A stage failed.
    Stage(RunError),
    /// The run was stopped, and its last checkpoint could not be written.
    Checkpoint(String),
}

impl Failure {
    /// How to fix it, if known.
    pub fn mend(&self) -> Option<&str> {
        match self {
            Self::Folder(..) | Self::Checkpoint(_) => None,
            Self::Stage(error) => error.cause.mend(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(file, error) => write!(f, "can't write {file}: {error}"),
            Self::Stage(error) => error.fmt(f),
            Self::Checkpoint(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}

/// What a run resumes from, and what its checkpoints record so that it can resume again.
#[derive(Debug)]
pub struct Going {
    /// The file before settings were chosen for its memory budget.
    pub asked: Value,
    /// The overrides that were chosen for its memory budget.
    pub chosen: Vec<String>,
    /// What [`leaks`](super::leaks) found and the file allows.
    pub leaks: Vec<Leak>,
    /// The checkpoint to resume from.
    pub from: Option<Found>,
}

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
    going: Going,
) -> Result<Summary, Failure> {
    let written = |name: &str, result: io::Result<()>| result.map_err(|error| unwritable(folder, name, error));
    let Going { asked, chosen, leaks, from } = going;
    let (mut mark, last, best, snapshot) = match from {
        Some(Found { checkpoint, last, .. }) => {
            let best = checkpoint.best_so_far(pipeline.settings.checkpoints.best.as_ref());
            (checkpoint.mark, last, best, Some(checkpoint.snapshot))
        }
        None => (Mark::default(), 0, None, None),
    };
    mark.resumes += u64::from(snapshot.is_some());
    written("resolved.yml", resolve(pipeline, folder, mark.resumes))?;
    written("graph.svg", folder.write("graph.svg", draw(&pipeline.graph, &pipeline.name, Format::Svg, None).as_bytes()))?;
    let settings = &pipeline.settings;
    let mut ledger = SkipLedger::new(settings.on_error.cap());
    if let Some(snapshot) = &snapshot {
        let before = skipped::before(folder, mark.bytes).map_err(|error| unwritable(folder, "metrics.jsonl", error))?;
        ledger = ledger.resumed(before, snapshot.position.inputs.iter().map(|input| input.epochs).min().unwrap_or(0));
    }
    let ledger = Arc::new(ledger);
    let quarantine = matches!(settings.on_error, OnError::Quarantine(_)).then(|| Quarantine {
        folder: folder.clone(),
        run: pipeline.name.clone(),
        skipped: ledger.clone(),
    });
    let best_by = settings.checkpoints.best.as_ref();
    let figures = |error| unwritable(folder, "metrics.jsonl", error);
    let warned = if mark.resumes > 0 { Warned::before(folder, mark.bytes).map_err(figures)? } else { Warned::default() };
    let file = folder.path().join("metrics.jsonl");
    let metrics = Metrics::open(&file, &mark, control.clone(), progress, quarantine, warned, settings).map_err(figures)?;
    let metrics = Arc::new(metrics);
    let checkpoints = pipeline.settings.checkpoints.clone();
    let keeper = if checkpoints.keep > 0 {
        let kept = CheckpointKeeper::start(folder.path(), checkpoints, metrics.clone(), (asked, chosen), (last, best));
        Some(Arc::new(kept.map_err(|error| unwritable(folder, "checkpoint", error))?))
    } else {
        None
    };
    // The memory used for choosing settings isn't the run's.
    memory::reset_peak(memory::Side::Host);
    // Nor is that of an earlier run of the same program.
    memory::reset_peak(memory::Side::Device);
    let options = RunOptions {
        pipeline: pipeline.id(),
        epochs: settings.epochs,
        seed: settings.seed,
        host_memory_budget: settings.host_memory_budget,
        out: folder.path().into(),
        events: metrics.clone(),
        keeper: keeper.clone().map(|keeper| keeper as Arc<dyn Keeper>),
        resume: snapshot.map(|snapshot| Arc::new(Mutex::new(snapshot))),
        skipped: ledger.clone(),
        strict: settings.strict,
        patience: settings.patience,
        lost: lost::told,
    };
    // A file that trains nothing has no plan, and needs none to run.
    let plan = Plan::of(pipeline).map(Plan::rehearsed).ok();
    metrics.record(match mark.resumes {
        0 => StartEvent { format: FORMAT, name: pipeline.name.clone(), version: env!("CARGO_PKG_VERSION").to_owned() }.into(),
        resumes => ResumeEvent { step: mark.kept.steps(), resumes, format: FORMAT }.into(),
    });
    if !leaks.is_empty() && mark.resumes == 0 {
        metrics.record(LeaksEvent { leaks: leaks.clone() }.into());
    }
    if let Some(plan) = &plan {
        metrics.record(plan.event().into());
        // A fit weighs what the network takes; what an allocator makes of it is known only of the settings that were chosen.
        if let Some(budget) = settings.memory_budget.filter(|&budget| plan.device_peak() > budget) {
            let (peak, budget) = (size(plan.device_peak()), size(budget));
            tracing::warn!(
                "the device's allocator will reserve {peak}, more than the budget of {budget}: set a smaller budget"
            );
        }
    }
    let outcome = engine::run(&pipeline.graph, options, control);
    let checkpoint = keeper.map(|keeper| keeper.finish()).unwrap_or_default();
    if settings.checkpoints.best.is_some()
        && let Err(error) = take_best(pipeline, folder, metrics.clone())
    {
        // The last weights are there in its place, and the checkpoint stays.
        tracing::warn!("nothing could be made of the best checkpoint: {error}");
    }
    let status = match &outcome {
        Ok(report) if report.end == End::Complete => Status::Complete,
        Ok(_) => Status::Interrupted,
        Err(_) => Status::Failed,
    };
    metrics.record(EndEvent { status }.into());
    metrics.progress().finish();
    skipped::tell(&ledger.all());
    let warned = metrics.warned();
    warned.tell();
    let (kept, unwritten) = metrics.take();
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
        steps: kept.steps(),
        samples: kept.samples(),
        eval: kept.eval.clone(),
        evals: (kept.followed.all().len() > 1).then(|| by_stage(kept.followed.all())),
        best: BestFigures::of(best_by, kept.followed.best()),
        stopped_early: best_by
            .filter(|_| status == Status::Complete && control.epochs() < settings.epochs)
            .map(|best| stopped_early(best, control.epochs(), &kept)),
        skipped_samples: ledger.all(),
        warnings: warned.counts(),
        leaks,
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
        resumes: mark.resumes,
        checkpoint: checkpoint.path.map(|path| path.display().to_string()),
        entries: kept.entries,
    };
    let summarized = written("summary.json", folder.write("summary.json", summary.to_json().as_bytes()));
    // The stage's own failure says more than a summary that can't be written.
    outcome.map_err(Failure::Stage)?;
    if let Some(error) = unwritten {
        return Err(unwritable(folder, "metrics.jsonl", error));
    }
    summarized?;
    // A run that was stopped in order to resume is worthless without its last checkpoint.
    match checkpoint.failure.filter(|_| status == Status::Interrupted) {
        Some(failure) => Err(Failure::Checkpoint(failure)),
        None => Ok(summary),
    }
}

/// Hands the best checkpoint, if there is one, to the stages that make something of it.
fn take_best(pipeline: &Pipeline, folder: &Folder, events: Arc<Metrics>) -> pipeline_contract::Result<()> {
    let (Some(path), Some(evaluations)) = (best_checkpoint(folder.path()), events.best_evaluations()) else { return Ok(()) };
    let best = BestCheckpoint { path, evaluations };
    let graph = &pipeline.graph;
    for node in graph.order.iter().filter(|&&node| graph.stage(node).kind.takes_best()) {
        let stage = graph.stage(*node);
        let cx = BuildContext {
            pipeline: pipeline.id(),
            seed: pipeline.settings.seed,
            epochs: pipeline.settings.epochs,
            out: folder.path().into(),
            events: events.clone(),
            ..BuildContext::standalone(&stage.id)
        };
        stage.kind.take_best(stage.options.clone(), &cx, &best)?;
    }
    Ok(())
}

fn stopped_early(best: &Best, epoch: u64, kept: &Kept) -> StoppedEarly {
    StoppedEarly { epoch, best_epoch: kept.followed.best().map(|best| best.epoch), metric: best.metric.clone() }
}

/// Writes `resolved.yml`. If the file has changed since the run started, the earlier one stays beside it.
fn resolve(pipeline: &Pipeline, folder: &Folder, resumes: u64) -> io::Result<()> {
    let (text, path) = (to_yaml(&pipeline.resolved), folder.path().join("resolved.yml"));
    if let Ok(before) = std::fs::read(&path)
        && before != text.as_bytes()
    {
        folder.write(&format!("resolved.{resumes}.yml"), &before)?;
    }
    folder.write("resolved.yml", text.as_bytes())
}

fn unwritable(folder: &Folder, name: &str, error: io::Error) -> Failure {
    Failure::Folder(folder.path().join(name).display().to_string(), error)
}
