//! `pipeline predict MODEL INPUT... --out DIR`: masks of new photographs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::{End, Registry};

use super::choices::ChoiceOpts;
use super::{exit, signals};
use crate::engine::Control;
use crate::inference::{Predicted, Request, predict};

/// Writes what a trained model predicts of photographs, at their own size: masks, probabilities and overlays.
#[derive(Debug, Args)]
pub struct Opts {
    /// A model.safetensors, a checkpoint, or a run's folder.
    model: PathBuf,
    /// Photographs, folders of photographs, or patterns such as 'photos/**/*.png'.
    #[arg(required = true)]
    inputs: Vec<String>,
    /// The folder for the pictures. If it has some already, only the missing ones are made.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    pub(super) choices: ChoiceOpts,
    /// Writes no probabilities.
    #[arg(long)]
    no_probabilities: bool,
    /// Writes no overlays.
    #[arg(long)]
    no_overlays: bool,
    /// Nothing is vessel outside of the photograph's disc, where it has a dark surround.
    #[arg(long)]
    field_of_view: bool,
    /// Makes pictures again that are there.
    #[arg(long)]
    overwrite: bool,
    /// Says how much memory it will take, and predicts nothing.
    #[arg(long)]
    plan: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, quiet: bool) -> ExitCode {
    let request = Request {
        models: std::iter::once(&opts.model).chain(&opts.choices.with).cloned().collect(),
        inputs: opts.inputs.clone(),
        out: opts.out.clone(),
        choices: opts.choices.choices(),
        probabilities: !opts.no_probabilities,
        overlays: !opts.no_overlays,
        field_of_view: opts.field_of_view,
        overwrite: opts.overwrite,
        only_plan: opts.plan,
    };
    let control = Control::new();
    let asked = signals::listen(&control);
    match predict(&request, registry, &control, quiet) {
        Ok(done) => report(opts, &done, asked.exit(true)).into(),
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't predict: {error}{help}");
            exit::FAILED.into()
        }
    }
}

fn report(opts: &Opts, Predicted { written, there, broken, end }: &Predicted, stopped: u8) -> u8 {
    if *end == End::Interrupted {
        tracing::info!("stopped after {written} photographs: the same command makes the rest");
        return stopped;
    }
    if !opts.plan {
        let already = if *there > 0 { format!(", {there} were there already") } else { String::new() };
        let skipped = if broken.is_empty() { String::new() } else { format!(", {} skipped", broken.len()) };
        let place = if *written + *there > 0 { format!("; the pictures are in {}", opts.out.display()) } else { String::new() };
        tracing::info!("{written} photographs predicted{already}{skipped}{place}");
    }
    if broken.is_empty() { exit::DONE } else { exit::PROBLEMS }
}
