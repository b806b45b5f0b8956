//! `pipeline plan FILE`: how much memory a run will need, and with a budget, which settings fit. Nothing is trained.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::{Registry, Role, StageError};

use super::{exit, output};
use crate::plan::{self, Host, Plan, Prediction, size};
use crate::spec;

/// Plans a pipeline's memory.
#[derive(Debug, Args)]
pub struct Opts {
    /// The pipeline file.
    file: PathBuf,
    /// Overrides a key of the file: trainer.num_epochs=3, stages.resize.with.size=256.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Budget of device memory, such as 16GiB: ranks the settings that fit. Default: the file's trainer.memory_budget.
    #[arg(long, value_name = "SIZE")]
    budget: Option<String>,
    /// Prints the plan as JSON, with all alternatives.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let mut set = opts.set.clone();
    set.extend(opts.budget.iter().map(|budget| format!("trainer.memory_budget={budget}")));
    let loaded = spec::load(&opts.file, &set, registry);
    super::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    let failed = |error: &StageError| {
        let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
        tracing::error!("can't plan {}: {error}{help}", opts.file.display());
        ExitCode::from(exit::FAILED)
    };
    if pipeline.graph.of_role(Role::Trainer).next().is_none() {
        return match plan::of_prediction(&pipeline) {
            Ok((plan, host)) => output::answer(&prediction(&pipeline.name, &plan, &host, opts.json), exit::DONE),
            Err(error) => failed(&error),
        };
    }
    let plan = match Plan::of(&pipeline).map(Plan::rehearsed) {
        Ok(plan) => plan,
        Err(error) => return failed(&error),
    };
    let fit = match pipeline.settings.memory_budget.map(|budget| plan.fit(budget, &pipeline.settings.fit)).transpose() {
        Ok(fit) => fit,
        Err(error) => return failed(&error),
    };
    let text = match opts.json {
        true => format!("{:#}\n", plan.to_json(fit.as_ref())),
        false => plan.to_text(fit.as_ref()),
    };
    let fits = fit.as_ref().is_none_or(|fit| fit.choice().is_some());
    output::answer(&text, if fits { exit::DONE } else { exit::PROBLEMS })
}

/// What a file needs that trains nothing.
fn prediction(name: &str, plan: &Prediction, host: &Host, json: bool) -> String {
    let (device, host) = (plan.peak.total, host.peak());
    let (place, description) = (&plan.peak.place, &plan.device.description);
    if json {
        let device = serde_json::json!({"name": description, "peak": device, "place": place});
        return format!("{:#}\n", serde_json::json!({"name": name, "device": device, "host": {"peak": host}}));
    }
    let (device, host) = (size(device), size(host));
    format!("{name}: nothing is trained\ndevice: {device} at the peak, in {place} ({description})\nhost: at most {host}\n")
}
