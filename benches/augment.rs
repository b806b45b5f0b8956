//! What each option of `augment` costs on one thread: milliseconds a pair of 512 x 512 and of 2048 x 2048 drawn pixels, the mean over 96 and 8 epochs.
//!
//! ```text
//! cargo bench --bench augment                            # each option by itself
//! cargo bench --bench augment -- '{flip: true, noise: 0.1}'    # only these
//! ```
//! On Linux it is the thread's own time on the processor, which other programs hardly change; elsewhere the time on the clock. docs/measured.md has the figures.

use std::error::Error;
use std::time::Instant;

use pipeline::contract::{BuildContext, Item, ItemContext, Running};
use pipeline::spec::load_text;
use pipeline_images::draw;

/// Each for every sample, at sizes of details that photographs of 512 pixels have.
const OPTIONS: &[&str] = &[
    "{flip: true}",
    "{flip: true, rotate90: true}",
    "{rotate: 20, scale: 0.1}",
    "{elastic: {alpha: 300, sigma: 20}}",
    "{elastic: {alpha: 60, sigma: 4}}",
    "{flip: true, rotate: 20, scale: 0.1, elastic: {alpha: 300, sigma: 20}}",
    "{brightness: 0.2, contrast: 0.2, gamma: 0.2}",
    "{hue: 0.02, saturation: 0.2}",
    "{falloff: 0.4}",
    "{green: 1}",
    "{hue: 0.02, saturation: 0.2, falloff: 0.4, brightness: 0.2, contrast: 0.2, gamma: 0.2}",
    "{clahe: {share: 1}}",
    "{blur: {share: 1, sigma: 1}}",
    "{blur: {share: 1, sigma: 3}}",
    "{noise: 0.05}",
    "{jpeg: {share: 1}}",
    "{dropout: {share: 1, holes: 8, size: 64}}",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let options = if given.is_empty() { OPTIONS } else { &given };
    let pairs = [512, 2048].map(|size| draw(size, 1));
    for options in options {
        let stages = [
            "- {id: files, use: synthetic_fundus}".to_owned(),
            "- {id: decode, use: decode}".to_owned(),
            format!("- {{id: augment, use: augment, with: {options}}}"),
            "- {id: sheet, use: preview}".to_owned(),
        ];
        let text = format!("trainer: {{num_epochs: 1}}\nstages:\n  {}\n", stages.join("\n  "));
        let loaded = load_text("augment.yml", text, &[], &pipeline::builtin());
        let Some(pipeline) = loaded.pipeline else { return Err(format!("{options}: {:?}", loaded.diagnostics).into()) };
        let Some(node) = pipeline.graph.node("augment") else { return Err("the stage is gone".into()) };
        let stage = pipeline.graph.stage(node);
        let Running::Map(map) = stage.kind.build(stage.options.clone(), &BuildContext::standalone("augment"))? else {
            return Err("augment is no map".into());
        };
        let mut each = Vec::new();
        // The processor's clock moves in steps of a few milliseconds.
        for (pair, epochs) in pairs.iter().zip([96, 8]) {
            let items: Vec<Item> = (0..epochs).map(|epoch| Item::new(epoch, "eye", pair.clone())).collect();
            let before = Clock::now();
            for (epoch, item) in (0..).zip(items) {
                map.map(item, &ItemContext { stage: "augment", seed: 42, epoch, sample: "eye" })?;
            }
            each.push(before.elapsed_ms() / epochs as f64);
        }
        eprintln!("{:7.2} ms at 512, {:7.1} ms at 2048: {options}", each[0], each[1]);
    }
    Ok(())
}

/// A moment, on the processor's clock for this thread if the system tells it.
struct Clock(Instant, Option<u64>);

impl Clock {
    fn now() -> Self {
        Self(Instant::now(), on_processor())
    }

    fn elapsed_ms(&self) -> f64 {
        match self.1.zip(on_processor()) {
            Some((then, now)) => now.saturating_sub(then) as f64 / 1e6,
            None => self.0.elapsed().as_secs_f64() * 1e3,
        }
    }
}

/// Nanoseconds for which this thread has run.
fn on_processor() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}
