//! `pipeline verify REF.safetensors`: this build on this device against a PyTorch reference. `pipeline verify FILE.yml`: a
//! file's window of micro-batches against the same samples as one batch. The comparisons are the training crate's.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use pipeline_contract::{Registry, StageError};
use pipeline_training::Precision;

use super::{exit, output};
use crate::spec;

/// Compares this build with a reference, or a window of a file with one large batch.
#[derive(Debug, Args)]
pub struct Opts {
    /// A reference, as tests/pytorch/make_reference.py makes one (.safetensors), or a pipeline file (.yml).
    file: PathBuf,
    /// The device to compare on: cpu, wgpu, vulkan, metal, cuda, cuda:1, as far as this build has them. Default: cpu, or the
    /// pipeline file's.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The precision to compare in, each with its own tolerances. Default: no, or the pipeline file's.
    #[arg(long = "mixed_precision", value_name = "PRECISION", value_parser = PossibleValuesParser::new(Precision::NAMES))]
    mixed_precision: Option<String>,
    /// Overrides a key of the pipeline file: trainer.mixed_precision=fp16.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Shows every figure instead of the worst of each group.
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let file = opts.file.display();
    let ending = opts.file.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
    match ending.as_deref() {
        Some("safetensors") => {}
        Some("yml" | "yaml") => return window(opts, registry, color),
        _ => {
            tracing::error!("can't verify {file}: a reference is a .safetensors file, a pipeline a .yml file");
            return exit::USAGE.into();
        }
    }
    let precision = opts.mixed_precision.as_deref().and_then(Precision::named).unwrap_or(Precision::Float32);
    match pipeline_training::verify(&opts.file, opts.device.as_deref().unwrap_or("cpu"), precision) {
        Ok(report) => {
            let text = if opts.all { report.all().to_string() } else { report.to_string() };
            output::answer(&text, if report.ok() { exit::DONE } else { exit::PROBLEMS })
        }
        Err(error) => failed(opts, &error),
    }
}

fn failed(opts: &Opts, error: &StageError) -> ExitCode {
    let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
    tracing::error!("can't verify {}: {error}{help}", opts.file.display());
    exit::FAILED.into()
}

/// A pipeline file's own window.
fn window(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let mut set = opts.set.clone();
    set.extend(opts.device.iter().map(|device| format!("trainer.device={device}")));
    set.extend(opts.mixed_precision.iter().map(|precision| format!("trainer.mixed_precision='{precision}'")));
    let loaded = spec::load(&opts.file, &set, registry);
    super::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    match crate::window::verify(&pipeline) {
        Ok(report) => output::answer(&report.to_string(), if report.ok() { exit::DONE } else { exit::PROBLEMS }),
        Err(error) => failed(opts, &error),
    }
}
