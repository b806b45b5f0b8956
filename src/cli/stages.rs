//! `pipeline stages [KIND]`: what the stage kinds declare, for people and as JSON.

mod describe;
mod json;

use std::process::ExitCode;

use clap::Args;
use pipeline_contract::{Lane, Registry, StageKind};
use serde_json::Value;

use super::{exit, output};

/// Lists the kinds of stages, or describes one with its options and an example.
#[derive(Debug, Args)]
pub struct Opts {
    /// The kind to describe. Default: lists all.
    kind: Option<String>,
    /// Prints everything that is declared as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let text = match &opts.kind {
        None if opts.json => format!("{:#}\n", Value::Array(registry.kinds().map(json::kind).collect())),
        None => list(registry, color),
        Some(name) => match registry.get(name) {
            Some(kind) if opts.json => format!("{:#}\n", json::kind(kind)),
            Some(kind) => describe::kind(kind, color),
            None => {
                tracing::error!("there is no stage kind `{name}`: {}", instead(name, registry));
                return exit::USAGE.into();
            }
        },
    };
    output::answer(&text, exit::DONE)
}

/// The kinds by where they run, one a line.
fn list(registry: &Registry, color: bool) -> String {
    let kinds: Vec<&StageKind> = registry.kinds().collect();
    let names = kinds.iter().map(|kind| kind.name.len()).max().unwrap_or(0);
    let ports = kinds.iter().map(|kind| describe::ports(kind).len()).max().unwrap_or(0);
    let mut text = String::new();
    for lane in [Lane::Source, Lane::Workers, Lane::Sequential, Lane::Device] {
        let of_lane: Vec<_> = kinds.iter().filter(|kind| kind.lane == lane).collect();
        if of_lane.is_empty() {
            continue;
        }
        text += &format!("{}{}\n", if text.is_empty() { "" } else { "\n" }, output::dim(describe::lane(lane), color));
        for kind in of_lane {
            // Padded before it is made bold: what makes it bold takes no cells.
            let name = output::bold(&format!("{:names$}", kind.name), color);
            text += format!("  {name}  {:ports$}  {}", describe::ports(kind), kind.doc).trim_end();
            text.push('\n');
        }
    }
    text + "\n`pipeline stages KIND` describes one, with its options and an example.\n"
}

/// The name that was probably meant, or all.
fn instead(word: &str, registry: &Registry) -> String {
    let names: Vec<&str> = registry.kinds().map(|kind| kind.name).collect();
    let near = names.iter().map(|name| (strsim::osa_distance(&word.to_lowercase(), name), name)).min();
    match near {
        Some((distance, name)) if distance <= (name.len() / 3).max(1) => format!("did you mean `{name}`?"),
        _ => format!("there are {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
