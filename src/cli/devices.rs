//! `pipeline devices`: the devices that this build can train on here, what each can do, why others can't be used, and what `auto`
//! would take.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use pipeline_training::device::{self, Card, Found, Unusable};
use pipeline_training::plan::size;
use serde_json::json;

use super::{exit, output};

/// Lists devices.
#[derive(Debug, Args)]
pub struct Opts {
    /// Prints the list as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts) -> ExitCode {
    let ((found, unusable), cards) = (device::find(), device::card_memory().unwrap_or_default());
    let auto = device::open("auto").map(|opened| opened.description).unwrap_or_default();
    let text = match opts.json {
        true => format!("{:#}\n", json!({"devices": found, "unusable": unusable, "auto": auto, "cards": cards})),
        false => list(&found, &unusable, &cards, &auto),
    };
    output::answer(&text, exit::DONE)
}

fn list(found: &[Found], unusable: &[Unusable], cards: &[Card], auto: &str) -> String {
    let mut text = String::new();
    // Writing to a string doesn't fail.
    for Found { device, description, about, precisions, .. } in found {
        let _ = writeln!(text, "{device:<8}  mixed_precision {:<16}  {description}", precisions.join(", "));
        let memory = about.memory.map(|memory| format!("{} of memory", size(memory)));
        let driver = about.driver.as_ref().map(|driver| format!("driver {driver}"));
        let interface = about.interface.as_ref().map(|interface| format!("by {interface}"));
        let said: Vec<String> = [memory, interface, driver].into_iter().flatten().collect();
        if !said.is_empty() {
            let _ = writeln!(text, "          {}", said.join(", "));
        }
    }
    for Unusable { device, why } in unusable {
        let _ = writeln!(text, "{device:<8}  can't be used: {why}");
    }
    for Card { name, total, used } in cards {
        let _ = writeln!(text, "card      {name}: {} of memory, {} in use", size(*total), size(*used));
    }
    let _ = writeln!(text, "\ndevice: auto takes {auto}");
    if found.len() == 1 && unusable.is_empty() {
        let _ = writeln!(text, "a build with `--features wgpu` (any card), `vulkan`, `metal` or `cuda` can use graphics cards");
    }
    text
}
