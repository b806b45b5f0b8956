//! `pipeline schema`: the JSON Schema of pipeline files, from the stage kinds' declarations.

use std::process::ExitCode;

use clap::Args;
use pipeline_contract::Registry;

use super::{exit, output};

/// Prints the JSON Schema. In an editor with a YAML language server, the first line of a pipeline file may name it:
/// `# yaml-language-server: $schema=pipeline.schema.json`.
#[derive(Debug, Args)]
pub struct Opts {}

/// Runs the command.
pub fn cmd(_: &Opts, registry: &Registry) -> ExitCode {
    output::answer(&format!("{:#}\n", crate::schema::schema(registry)), exit::DONE)
}
