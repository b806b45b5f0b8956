//! `pipeline validate FILE...`: all problems of all files at once. Nothing is run.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::Registry;
use serde_json::{Value, json};

use super::{exit, output};
use crate::diagnostic::Diagnostic;
use crate::spec::{self, Loaded};

/// Checks pipeline files.
#[derive(Debug, Args)]
pub struct Opts {
    /// The pipeline files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Overrides a key of the files: trainer.num_epochs=3, stages.resize.with.size=256.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Prints a list of files with their problems as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let all: Vec<Loaded> = opts.files.iter().map(|file| spec::load(file, &opts.set, registry)).collect();
    let wrong = |loaded: &Loaded| loaded.pipeline.is_none() || loaded.diagnostics.iter().any(Diagnostic::is_error);
    let code = if all.iter().any(wrong) { exit::PROBLEMS } else { exit::DONE };
    let text = if opts.json {
        format!("{:#}\n", Value::Array(all.iter().map(report).collect()))
    } else {
        all.iter().map(|loaded| in_words(loaded, color)).collect::<Vec<_>>().concat()
    };
    output::answer(&text, code)
}

/// `fives.yml: ok (9 stages, 4 lanes)`, after the warnings if there are any; or the problems.
fn in_words(loaded: &Loaded, color: bool) -> String {
    let mut text = output::problems(loaded, color);
    if let Some(pipeline) = &loaded.pipeline {
        let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
        let (stages, lanes) = (pipeline.graph.order.len(), pipeline.graph.lanes.len());
        text += &format!("{}: ok ({}, {})\n", loaded.source.name(), count(stages, "stage"), count(lanes, "lane"));
    }
    text
}

fn report(loaded: &Loaded) -> Value {
    let graph = loaded.pipeline.as_ref().map(|pipeline| &pipeline.graph);
    json!({
        "file": loaded.source.name(),
        "ok": graph.is_some(),
        "stages": graph.map(|graph| graph.order.len()),
        "lanes": graph.map(|graph| graph.lanes.len()),
        "problems": loaded.diagnostics.iter().map(|diagnostic| diagnostic.report(&loaded.source)).collect::<Vec<_>>(),
    })
}
