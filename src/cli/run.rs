//! `pipeline run FILE`: trains. The first Ctrl-C drains, the second stops at once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use pipeline_contract::{Registry, Result, StageError};
use pipeline_training::plan::size;

use super::exit;
use crate::engine::Control;
use crate::plan::{self, Plan};
use crate::run::{Folder, Progress, Status, Summary, amount, execute};
use crate::spec::{self, Pipeline};

/// Runs a pipeline from its file.
#[derive(Debug, Args)]
pub struct Opts {
    /// The pipeline file.
    file: PathBuf,
    /// Overrides a key of the file: trainer.num_epochs=3, stages.resize.with.size=256.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The run's folder; must be empty or not there. Default: runs/NAME-TIME.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool, quiet: bool) -> ExitCode {
    let loaded = spec::load(&opts.file, &opts.set, registry);
    super::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    let pipeline = match fitted(pipeline, opts, registry) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't run {}: {error}{help}", opts.file.display());
            return exit::FAILED.into();
        }
    };
    let folder = match Folder::create(opts.out.as_deref(), &pipeline.name) {
        Ok(folder) => folder,
        Err(error) => {
            let wanted = opts.out.as_deref().unwrap_or(Path::new("runs")).display();
            tracing::error!("can't make the run's folder {wanted}: {error}");
            return exit::FAILED.into();
        }
    };
    let control = Control::new();
    stop_on_signals(&control);
    tracing::info!(
        "{}: {} stages in {} lanes, into {}",
        pipeline.name,
        pipeline.graph.order.len(),
        pipeline.graph.lanes.len(),
        folder.path().display()
    );
    for card in pipeline_training::device::card_memory().unwrap_or_default() {
        tracing::info!("{}: {} in use", card.name, amount(card.used, card.total));
    }
    let mut stages = pipeline.graph.order.iter().map(|&node| pipeline.graph.stage(node));
    let source = stages.find(|stage| stage.kind.inputs.is_empty()).map(|stage| stage.id.clone());
    let progress = Progress::new(pipeline.settings.epochs, source, quiet);
    match execute(&pipeline, &folder, &control, progress, cards) {
        Ok(summary) => {
            report(&summary, &folder);
            if summary.status == Status::Complete { exit::DONE.into() } else { exit::INTERRUPTED.into() }
        }
        Err(failure) => {
            let help = failure.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("the run failed: {failure}{help}");
            exit::FAILED.into()
        }
    }
}

/// The pipeline under the fastest settings that fit its memory budget, where it has one. What was chosen is chosen for good: a
/// choice by time may come out otherwise another day, and the run's `resolved.yml` must not.
fn fitted(pipeline: Pipeline, opts: &Opts, registry: &Registry) -> Result<Pipeline> {
    let Some(budget) = pipeline.settings.memory_budget else { return Ok(pipeline) };
    if let Err(error) = plan::job(&pipeline) {
        tracing::warn!("nothing is chosen for trainer.memory_budget: {error}");
        return Ok(pipeline);
    }
    let plan = Plan::of(&pipeline)?;
    let fit = plan.fit(budget, &pipeline.settings.fit)?;
    let mut overrides = plan.overrides(&fit)?;
    overrides.push("trainer.fit_may_change=[]".to_owned());
    if let Some(choice) = fit.choice() {
        tracing::info!(
            "for {} of device memory: micro-batch {} x {}, mixed_precision {}, gradient_checkpointing {}; planned {}",
            size(budget),
            choice.micro_batch,
            choice.accumulation,
            choice.mixed_precision,
            choice.gradient_checkpointing,
            size(choice.peak)
        );
    }
    let set: Vec<String> = opts.set.iter().cloned().chain(overrides).collect();
    let again = spec::load(&opts.file, &set, registry);
    again.pipeline.ok_or_else(|| StageError::new("the settings that fit don't fit the file").help("this is a bug"))
}

/// What the driver says of the machine's cards.
fn cards() -> Option<serde_json::Value> {
    serde_json::to_value(pipeline_training::device::card_memory()?).ok()
}

/// First signal: drain. Second: stop at once.
fn stop_on_signals(control: &Control) {
    let control = control.clone();
    let asked = AtomicBool::new(false);
    let handler = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
        tracing::warn!("stopping after what is on its way; once more stops at once");
        control.drain();
    });
    if let Err(error) = handler {
        tracing::warn!("Ctrl-C will stop the run at once: {error}");
    }
}

fn report(summary: &Summary, folder: &Folder) {
    let figure = |name: &str| summary.eval.as_ref().and_then(|eval| eval.get(name)).and_then(serde_json::Value::as_f64);
    let mut text = format!("{} steps on {} samples in {:.1} s", summary.steps, summary.samples, summary.seconds);
    if let (Some(dice), Some(auc)) = (figure("dice"), figure("auc")) {
        text += &format!("; test dice {dice:.4}, AUC {auc:.4}");
    }
    tracing::info!("{text}");
    let memory = &summary.memory;
    if let (Some(planned), Some(measured)) = (memory.device_planned_peak, memory.device_measured_peak) {
        tracing::info!("device memory: {} planned, {} measured at the peak", size(planned), size(measured));
    }
    if let (Some(planned), Some(measured)) = (memory.host_planned_peak, memory.host_measured_peak) {
        tracing::info!("host memory: {} planned at most, {} measured at the peak", size(planned), size(measured));
    }
    tracing::info!("results are in {}", folder.path().display());
}
