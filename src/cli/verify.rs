//! `pipeline verify REF.safetensors`: this build on this device against a PyTorch reference.
//! The comparison itself is the training crate's.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{exit, output};

/// Compares this build with a reference.
#[derive(Debug, Args)]
pub struct Opts {
    /// The reference, a .safetensors file with PyTorch's figures.
    file: PathBuf,
    /// The device to compare on: cpu, wgpu, vulkan, metal, cuda, cuda:1, as far as this build has them.
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// Shows every figure instead of the worst of each group.
    #[arg(long)]
    all: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts) -> ExitCode {
    let file = opts.file.display();
    let ending = opts.file.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase);
    match ending.as_deref() {
        Some("safetensors") => {}
        Some("yml" | "yaml") => {
            tracing::error!(
                "can't verify {file} yet: comparing a window's gradients with those of one batch isn't built; give a .safetensors reference"
            );
            return exit::USAGE.into();
        }
        _ => {
            tracing::error!("can't verify {file}: a reference is a .safetensors file");
            return exit::USAGE.into();
        }
    }
    match pipeline_training::verify(&opts.file, &opts.device) {
        Ok(report) => {
            let text = if opts.all { report.all().to_string() } else { report.to_string() };
            output::answer(&text, if report.ok() { exit::DONE } else { exit::PROBLEMS })
        }
        Err(error) => {
            tracing::error!("can't verify {file}: {error}");
            if let Some(mend) = error.mend() {
                tracing::error!("help: {mend}");
            }
            exit::FAILED.into()
        }
    }
}
