//! `pipeline run FILE`: trains, from the beginning or from a checkpoint.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::events::Status;
use pipeline_contract::{Metric, Registry, Result, Role, StageError};
use pipeline_training::plan::size;

use super::resume::{self, Verdict};
use super::{exit, signals};
use crate::engine::Control;
use crate::graph::Graph;
use crate::plan::{self, Plan};
use crate::run::{Folder, Found, Going, Progress, StoppedEarly, Summary, amount, by_class, execute, leaks, newest, outcome};
use crate::spec::{self, Pipeline};

/// Runs a pipeline from its file.
#[derive(Debug, Clone, Args)]
pub struct Opts {
    /// The pipeline file.
    pub(super) file: PathBuf,
    /// Overrides a key of the file: trainer.num_epochs=3, stages.resize.with.size=256.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// The run's folder; must be empty or absent. Default: runs/NAME-TIME.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Resumes from the newest intact checkpoint of the run in --out, or of the newest run of this name; starts if there is none.
    #[arg(long)]
    pub(super) resume: bool,
    /// With --resume, accepts changes of the file that alter the result.
    #[arg(long, requires = "resume")]
    pub(super) allow_changed: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool, quiet: bool) -> ExitCode {
    let loaded = spec::load(&opts.file, &opts.set, registry);
    super::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    one(pipeline, opts, registry, quiet).into()
}

/// One run, from the beginning or from a checkpoint; the exit code.
pub(super) fn one(pipeline: Pipeline, opts: &Opts, registry: &Registry, quiet: bool) -> u8 {
    match prepared(pipeline, opts, registry) {
        Ok(Some(Prepared { pipeline, folder, going })) => run(&pipeline, &folder, going, quiet),
        Ok(None) => exit::PROBLEMS,
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't run {}: {error}{help}", opts.file.display());
            exit::FAILED
        }
    }
}

/// What a run starts with.
struct Prepared {
    pipeline: Pipeline,
    folder: Folder,
    going: Going,
}

/// Finds or makes the run's folder and the checkpoint to resume from; `None` if the file's changes are refused, which has been reported.
fn prepared(pipeline: Pipeline, opts: &Opts, registry: &Registry) -> Result<Option<Prepared>> {
    let asked = pipeline.resolved.clone();
    let wanted = opts.out.as_deref().unwrap_or(Path::new("runs")).display().to_string();
    let place = |error: io::Error| StageError::new(format!("the run's folder {wanted} can't be used: {error}"));
    let there = match opts.resume {
        true => Folder::resume(opts.out.as_deref(), &pipeline.name).map_err(place)?,
        false => None,
    };
    let from = match &there {
        Some(folder) => newest(folder.path()).map_err(place)?,
        None => None,
    };
    if let (true, None) = (opts.resume, &from) {
        tracing::info!("no checkpoint to resume from; starting from the beginning");
    }
    // Before there is a folder: the file is mended, and the same command runs it.
    let leaks = leaks(&pipeline)?;
    let mut chosen = None;
    if let (Some(found), Some(folder)) = (&from, &there) {
        resume::tell(found, folder.path());
        match resume::judge(found, &pipeline, registry, opts.allow_changed) {
            // Timings might choose other settings today.
            Verdict::AsChosen => chosen = Some(found.checkpoint.chosen.clone()),
            Verdict::Altered => {}
            Verdict::Refused => return Ok(None),
        }
    }
    let chosen = match chosen {
        Some(chosen) => chosen,
        None => fitted(&pipeline)?,
    };
    let pipeline = if chosen.is_empty() { pipeline } else { again(opts, &chosen, registry)? };
    let folder = match there {
        Some(folder) => folder,
        None => Folder::create(opts.out.as_deref(), &pipeline.name).map_err(place)?,
    };
    Ok(Some(Prepared { pipeline, folder, going: Going { asked, chosen, leaks, from } }))
}

/// The first source of a file, and how many items the trainer sees of each of its samples.
fn counted(graph: &Graph) -> Option<(String, u64)> {
    let source = graph.of_role(Role::Source).next()?;
    let trained = graph.of_role(Role::Trainer).flat_map(|node| graph.counted_into(node, 0));
    let pieces = trained.into_iter().find_map(|(above, pieces)| (above == source).then_some(pieces));
    Some((graph.stage(source).id.clone(), pieces.unwrap_or(1)))
}

fn run(pipeline: &Pipeline, folder: &Folder, going: Going, quiet: bool) -> u8 {
    let control = Control::new();
    let asked = signals::listen(&control);
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
    let source = counted(&pipeline.graph);
    let metrics = pipeline.graph.metrics();
    let several = pipeline.graph.of_role(Role::Evaluator).count() > 1;
    let progress = Progress::new(pipeline.settings.epochs, source, (metrics.clone(), several), quiet);
    match execute(pipeline, folder, &control, progress, cards, going) {
        Ok(summary) => {
            report(&summary, &metrics, folder);
            if summary.status == Status::Complete { exit::DONE } else { asked.exit(summary.checkpoint.is_some()) }
        }
        Err(failure) => {
            let help = failure.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("the run failed: {failure}{help}");
            if let Ok(Some(Found { path, .. })) = newest(folder.path()) {
                let (path, out) = (path.display(), folder.path().display());
                tracing::info!("the newest checkpoint is {path}: fix the cause, then rerun with --resume --out {out}");
            }
            exit::FAILED
        }
    }
}

/// The overrides that give the file the fastest settings that fit its memory budget, if it has one. The choice is final: timings
/// may choose otherwise another day, and the run's `resolved.yml` must not.
fn fitted(pipeline: &Pipeline) -> Result<Vec<String>> {
    let Some(budget) = pipeline.settings.memory_budget else { return Ok(Vec::new()) };
    if let Err(error) = plan::job(pipeline) {
        tracing::warn!("trainer.memory_budget chooses no settings: {error}");
        return Ok(Vec::new());
    }
    let plan = Plan::of(pipeline)?;
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
    fit.tiles.iter().for_each(|choice| tracing::info!("{}", plan::chosen_tiles(choice)));
    Ok(overrides)
}

/// The file read again under what was chosen.
fn again(opts: &Opts, chosen: &[String], registry: &Registry) -> Result<Pipeline> {
    let set: Vec<String> = opts.set.iter().chain(chosen).cloned().collect();
    let again = spec::load(&opts.file, &set, registry);
    again.pipeline.ok_or_else(|| StageError::new("the settings that fit don't fit the file").help("this is a bug"))
}

/// What the driver says of the machine's cards.
fn cards() -> Option<serde_json::Value> {
    serde_json::to_value(pipeline_training::device::card_memory()?).ok()
}

fn report(summary: &Summary, metrics: &[Metric], folder: &Folder) {
    let mut text = match summary.steps {
        0 if summary.memory.device_planned_peak.is_none() => format!("done in {:.1} s", summary.seconds),
        steps => format!("{steps} steps on {} samples in {:.1} s", summary.samples, summary.seconds),
    };
    let (figures, eval) = outcome(metrics, summary);
    figures.iter().for_each(|figures| text += &format!("; {figures}"));
    tracing::info!("{text}");
    if let Some(StoppedEarly { epoch, best_epoch, metric }) = &summary.stopped_early {
        let best = best_epoch.map_or_else(|| "there is none".to_owned(), |best| format!("the best is that of epoch {best}"));
        tracing::info!("stopped early after epoch {epoch}: the {metric} no longer gets better; {best}");
    }
    for class in eval.map(by_class).unwrap_or_default() {
        tracing::info!("  {class}");
    }
    let memory = &summary.memory;
    if let (Some(planned), Some(measured)) = (memory.device_planned_peak, memory.device_measured_peak) {
        tracing::info!("device memory: {} planned, {} measured at the peak", size(planned), size(measured));
    }
    if let (Some(planned), Some(measured)) = (memory.host_planned_peak, memory.host_measured_peak) {
        tracing::info!("host memory: at most {} planned, {} measured at the peak", size(planned), size(measured));
    }
    if let (Status::Interrupted, Some(checkpoint)) = (summary.status, &summary.checkpoint) {
        tracing::info!("stopped with {checkpoint}: rerun with --resume --out {}", folder.path().display());
    }
    tracing::info!("results are in {}", folder.path().display());
}
