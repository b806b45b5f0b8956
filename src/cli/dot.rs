//! `pipeline dot FILE`: the graph of a file, and with the folder of a run, where its time went. Nothing is run.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::Registry;
use serde::Deserialize;

use super::{exit, output};
use crate::graph::{Format, Timing, draw};
use crate::spec;

/// Draws the graph of a pipeline file.
#[derive(Debug, Args)]
pub struct Opts {
    /// The pipeline file.
    file: PathBuf,
    /// How to draw it. Default: by the ending of --out (.dot, .svg, .mmd, .txt), otherwise dot.
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// The folder of a run: colours the stages by their share of the time that all stages were busy.
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Where to write it. Default: standard output.
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Overrides a key of the file: trainer.num_epochs=3, stages.resize.with.size=256.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// What is read of a run's `summary.json`.
#[derive(Deserialize)]
struct Summary {
    stages: Vec<Timing>,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let loaded = spec::load(&opts.file, &opts.set, registry);
    super::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    let timings = match opts.run.as_deref().map(timings).transpose() {
        Ok(timings) => timings,
        Err(error) => {
            tracing::error!("can't read where the run's time went: {error}");
            return exit::FAILED.into();
        }
    };
    if let Some(other) = timings.iter().flatten().find(|timing| pipeline.graph.node(&timing.stage).is_none()) {
        tracing::warn!("the run has a stage `{}` that the file hasn't: was it another file's?", other.stage);
    }
    let format = opts.format.or_else(|| opts.out.as_deref().and_then(by_ending)).unwrap_or(Format::Dot);
    let text = draw(&pipeline.graph, &pipeline.name, format, timings.as_deref());
    match &opts.out {
        None => output::answer(&text, exit::DONE),
        Some(path) => match std::fs::write(path, text) {
            Ok(()) => exit::DONE.into(),
            Err(error) => {
                tracing::error!("can't write {}: {error}", path.display());
                exit::FAILED.into()
            }
        },
    }
}

/// No summary is longer, in bytes; of what is, the rest isn't read.
const LARGEST_SUMMARY: u64 = 16 << 20;

fn timings(folder: &Path) -> Result<Vec<Timing>, String> {
    let path = folder.join("summary.json");
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(LARGEST_SUMMARY).read_to_string(&mut text));
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    let summary: Summary = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(summary.stages)
}

fn by_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "dot" | "gv" => Some(Format::Dot),
        "svg" => Some(Format::Svg),
        "mmd" | "mermaid" => Some(Format::Mermaid),
        "txt" => Some(Format::Ascii),
        _ => None,
    }
}
