//! `pipeline export MODEL OUT.onnx`: a trained model for other programs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit;
use crate::inference::export;

/// Writes a trained model as an ONNX file: from an 8-bit photograph to probabilities, normalisation and sigmoid inside.
#[derive(Debug, Args)]
pub struct Opts {
    /// A model.safetensors, a checkpoint, or a run's folder.
    model: PathBuf,
    /// The file to write, a .onnx.
    out: PathBuf,
}

/// Runs the command.
pub fn cmd(opts: &Opts) -> ExitCode {
    if !opts.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
        tracing::error!("can't export to {}: name a .onnx file", opts.out.display());
        return exit::USAGE.into();
    }
    match export(&opts.model, &opts.out) {
        Ok(written) => {
            tracing::info!(
                "{}: {} operators, {} bytes; probabilities differ by at most {:.1e} from the model's",
                opts.out.display(),
                written.operators,
                written.bytes,
                written.difference
            );
            exit::DONE.into()
        }
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't export {}: {error}{help}", opts.model.display());
            exit::FAILED.into()
        }
    }
}
