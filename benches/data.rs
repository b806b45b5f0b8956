//! The data side alone: pairs a second from a FIVES folder, decoded, resized, augmented and batched, by number of workers.
//!
//! ```text
//! cargo bench --bench data -- data/FIVES/train 512          # SPLIT_DIR SIZE; without arguments, drawn images
//! cargo bench --bench data -- data/FIVES/train 512 FOLDER   # with a cache in FOLDER, which is emptied for each number of workers
//! ```
//! To be compared with a torch `DataLoader` that does the same; docs/measured.md has figures of both.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use pipeline::contract::{ItemContext, NoEvents, Nothing, Output, Result, Sequential, StageKind, memory};
use pipeline::engine::{Control, Patience, RunOptions, run};
use pipeline::spec::load_text;
use pipeline_images::Batch;

/// Discards batches, like an infinitely fast network, and says how fast each epoch was.
struct Drop {
    since: Instant,
    pairs: u64,
}

impl Sequential for Drop {
    type In = Batch;
    type Out = Nothing;
    fn item(&mut self, batch: Batch, _: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.pairs += batch.samples.len() as u64;
        Ok(())
    }

    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Nothing>) -> Result<()> {
        eprintln!("  epoch {}: {:.2} pairs/s", epoch + 1, self.pairs as f64 / self.since.elapsed().as_secs_f64());
        (self.since, self.pairs) = (Instant::now(), 0);
        Ok(())
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    // As the program does.
    memory::share_heap();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let source = match arguments.first() {
        Some(split) => format!("{{id: files, use: fives, with: {{root: {split:?}, split: all, shuffle: true}}}}"),
        None => "{id: files, use: synthetic_fundus, with: {pairs: 64, size: 512, split: train, shuffle: true}}".into(),
    };
    let size = arguments.get(1).map_or("512", String::as_str);
    let registry = pipeline::builtin()
        .with(StageKind::sequential("drop", "drops batches", |(): (), _| Ok(Drop { since: Instant::now(), pairs: 0 })));
    let epochs = 3;
    for workers in [0, 1, 2, 4] {
        let cache = match arguments.get(2) {
            None => String::new(),
            Some(folder) => {
                if Path::new(folder).exists() {
                    fs::remove_dir_all(folder)?;
                }
                format!("  - {{id: cache, use: cache, with: {{folder: {folder:?}}}}}\n")
            }
        };
        let text = format!(
            "name: data\ntrainer: {{num_epochs: {epochs}}}\nstages:\n  - {source}\n  - {{id: decode, use: decode, workers: {workers}}}\n  \
             - {{id: resize, use: resize, with: {{size: {size}}}}}\n{cache}  \
             - {{id: augment, use: augment, with: {{flip: true, rotate90: true, brightness: 0.2, contrast: 0.2}}}}\n  \
             - {{id: normalize, use: normalize}}\n  - {{id: batch, use: batch}}\n  - {{id: drop, use: drop}}\n"
        );
        let loaded = load_text("data.yml", text, &[], &registry);
        let Some(pipeline) = loaded.pipeline else { return Err(format!("{:?}", loaded.diagnostics).into()) };
        let options = RunOptions {
            pipeline: pipeline_contract::PipelineId::default(),
            epochs,
            seed: 1,
            host_memory_budget: pipeline.settings.host_memory_budget,
            out: std::env::temp_dir(),
            events: Arc::new(NoEvents),
            keeper: None,
            resume: None,
            skipped: Arc::default(),
            strict: false,
            patience: Patience::default(),
            lost: || None,
        };
        let started = Instant::now();
        let report = run(&pipeline.graph, options, &Control::new())?;
        let seconds = started.elapsed().as_secs_f64();
        let pairs = report.stages.first().map_or(0, |stage| stage.items);
        let peak = report.host_bytes_peak as f64 / f64::from(1 << 20);
        let each = |id: &str| {
            report.stages.iter().find(|stage| stage.stage == id).map_or(0.0, |stage| stage.busy_seconds / pairs as f64 * 1e3)
        };
        let parts = ["decode", "resize", "cache", "augment", "batch"].map(|id| format!("{id} {:.1} ms", each(id))).join(", ");
        eprintln!("workers={workers} {:.2} pairs/s, {peak:.0} MiB of payloads at most; {parts}", pairs as f64 / seconds);
    }
    Ok(())
}
