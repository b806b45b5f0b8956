//! A plan as people read it.

use std::fmt::Write as _;

use pipeline_training::memory::Cause;
use pipeline_training::plan::{Fit, TileChoice, Tiled, size};
use pipeline_training::stages::Tiling;

use super::{CheckpointSize, Plan};

/// Alternatives that are listed; the others are in the JSON.
const LISTED: usize = 12;

impl Plan {
    /// For people.
    pub fn to_text(&self, fit: Option<&Fit>) -> String {
        text(self, fit)
    }
}

fn text(plan: &Plan, fit: Option<&Fit>) -> String {
    let job = &plan.job;
    let (samples, height, width) = job.micro_batch;
    let mut text = String::new();
    // Writing to a string doesn't fail.
    let mut line = |line: String| {
        let _ = writeln!(text, "{line}");
    };
    line(format!(
        "{}: {} ({:.1} M weights) on images of {height} x {width}",
        plan.name(),
        job.network.about,
        job.network.layout.parameters().unwrap_or(0) as f64 / 1e6,
    ));
    line(format!(
        "micro-batch {samples} x {} accumulated, mixed_precision {}, gradient_checkpointing {}",
        job.steps,
        job.setting.precision.words(),
        job.setting.checkpointing.name(),
    ));
    tiles(&job.tiles, &mut line);
    let peak = &plan.forecast.peak;
    line(format!("\ndevice: {} at the peak, in {} ({})", size(plan.device_peak()), peak.place, plan.device.description));
    if plan.is_estimate() {
        line(
            "  an estimate: with the allocator's pages and the device's kernels, small trials took 1.2 to 2.7 times as much"
                .into(),
        );
    }
    for (cause, bytes) in &peak.causes {
        line(format!("  {:<22}{:>12}", cause.name().replace('_', " "), size(*bytes)));
        if *cause == Cause::Saved {
            for (block, bytes) in &peak.blocks {
                line(format!("    {block:<20}{:>12}", size(*bytes)));
            }
        }
    }
    if let Some(bytes) = plan.allocator() {
        line(format!("  {:<22}{:>12}", "allocator's pages", size(bytes)));
    }
    let host = &plan.host;
    line(format!("\nhost: at most {}", size(host.peak())));
    for (what, bytes) in &host.shares {
        line(format!("  {what:<52}{:>12}", size(*bytes)));
    }
    line(format!("  {:<52}{:>12}", format!("the window's {} samples, for a retry", job.window()), size(host.window)));
    if host.decoding > 0 {
        line(format!("  plus {} photographs being decoded, at 4 bytes a pixel (2048 x 2048: 16 MiB)", host.decoding));
    }
    if let Some(CheckpointSize { bytes, files }) = plan.checkpoints {
        line(format!("  plus {0} while a checkpoint is written\n\ndisk: at most {files} checkpoints of {0}", size(bytes)));
    }
    if let Some(fit) = fit {
        alternatives(fit, &mut line);
    }
    text
}

/// What evaluators see of a photograph at a time; evaluators that see the same are named once, and by name where there are others.
fn tiles(evaluators: &[Tiled], line: &mut dyn FnMut(String)) {
    let words = |tiled: &Tiled| {
        let Tiling { size: [height, width], overlap, batch, free_size, .. } = tiled.tiling;
        let auto = if free_size { " (auto)" } else { "" };
        format!("{height} x {width}{auto}, overlap {overlap}, {batch} at a time")
    };
    let alike = evaluators.iter().all(|tiled| words(tiled) == words(&evaluators[0]));
    for tiled in evaluators.iter().take(if alike { 1 } else { usize::MAX }) {
        let of = if alike { String::new() } else { format!(" in `{}`", tiled.stage) };
        line(format!("evaluation tile by tile{of}: {}", words(tiled)));
    }
}

/// The tiles that a fit has chosen.
pub(crate) fn chosen_tiles(choice: &TileChoice) -> String {
    let TileChoice { stage, height, width, batch, peak, tiles, seconds, .. } = choice;
    let (peak, guess) = (size(*peak), if choice.estimate { "~ " } else { "" });
    format!(
        "tiles of `{stage}`: {height} x {width}, {batch} at a time: {guess}{peak}; {tiles} a photograph, est. {seconds:.2} s"
    )
}

fn alternatives(fit: &Fit, line: &mut dyn FnMut(String)) {
    let (budget, margin) = (size(fit.budget), size(fit.margin));
    line(format!("\nbudget: {budget} of device memory, less a margin of {margin}"));
    match fit.choice() {
        Some(choice) => line(format!(
            "choice: micro-batch {} x {}, mixed_precision {}, gradient_checkpointing {}: {}",
            choice.micro_batch,
            choice.accumulation,
            choice.mixed_precision,
            choice.gradient_checkpointing,
            size(choice.peak)
        )),
        None => {
            if let Some(side) = fit.largest_tile {
                line(format!("the training fits, and the evaluation's tiles don't; tiles of {side} x {side} would"));
            }
            let needed = size(fit.smallest_budget.unwrap_or(0));
            line(format!("no allowed setting fits; the smallest budget for these images is {needed}"));
            line(match fit.largest_image {
                Some(0) | None => "no image size fits this budget".into(),
                Some(size) => format!("the largest image that fits this budget is {size} x {size}"),
            });
        }
    }
    fit.tiles.iter().for_each(|choice| line(chosen_tiles(choice)));
    if fit.candidates.iter().any(|candidate| candidate.estimate) {
        line("peaks with ~ are guesses, scaled from those that the device was asked for".into());
    }
    line(format!(
        "\n  {:>11}  {:<9}  {:<13}  {:>11}  {:>11}  why not",
        "micro-batch", "precision", "checkpointing", "peak", "est. window"
    ));
    for candidate in fit.candidates.iter().take(LISTED) {
        line(format!(
            "  {:>11}  {:<9}  {:<13}  {:>11}  {:>9.2} s  {}",
            format!("{} x {}", candidate.micro_batch, candidate.accumulation),
            candidate.mixed_precision,
            candidate.gradient_checkpointing,
            format!("{}{}", if candidate.estimate { "~ " } else { "" }, size(candidate.peak)),
            candidate.seconds,
            candidate.why_not.as_deref().unwrap_or("<- the choice"),
        ));
    }
    if fit.candidates.len() > LISTED {
        line(format!("  and {} more, in --json", fit.candidates.len() - LISTED));
    }
}
