//! `pipeline run FILE`: trains. The first Ctrl-C drains, the second stops at once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use pipeline_contract::Registry;

use super::exit;
use crate::engine::Control;
use crate::run::{Folder, Progress, Status, Summary, execute};
use crate::spec;

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
    let mut stages = pipeline.graph.order.iter().map(|&node| pipeline.graph.stage(node));
    let source = stages.find(|stage| stage.kind.inputs.is_empty()).map(|stage| stage.id.clone());
    let progress = Progress::new(pipeline.settings.epochs, source, quiet);
    match execute(&pipeline, &folder, &control, progress) {
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
    tracing::info!("results are in {}", folder.path().display());
}
