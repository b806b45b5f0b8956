//! Measures what a graphics device's own allocator will hold. Its pages depend on the order and sizes of all requests, so
//! they aren't modelled: a training and an evaluation go through the device itself as a dry run, in which kernels are
//! compiled but not launched, and pages are counted but not filled.

use pipeline_contract::{Result, StageError};
use pipeline_images::Normalization;

use super::{Job, size};
use crate::device::{self, Opened, Platform};
use crate::layer::{NormKind, NormOptions};
use crate::loss::Loss;
use crate::memory::Ledger;
use crate::micro_batch::{MicroBatch, Pixels};
use crate::networks::{Size, UNetConfig};
use crate::optimizer::{Adam, Optimizer, Rule, Sgd};
use crate::parameters::State;
use crate::trainee::Trainee;

/// Maximum micro-batches of a window in a rehearsal: later ones reuse the pages that these leave.
const MICRO_BATCHES: usize = 8;

/// Bytes that the device's allocator will have reserved at the peak of a job under the file's policies; `None` on the CPU,
/// where the walk of [`super::forecast`] is exact. The rehearsal itself takes device memory only for the pages that images
/// are written to.
///
/// # Errors
/// When the images don't fit the network, or the device fails.
pub fn rehearse(opened: &Opened, job: &Job) -> Result<Option<u64>> {
    let platform = Platform::of(&opened.device);
    if platform.plans_exactly() {
        return Ok(None);
    }
    // A dry run doesn't fill pages, so the device wouldn't refuse one that is too large.
    let (largest, limit) =
        (job.forecast(job.micro_batch.0, job.setting, platform)?.largest, device::largest_buffer(&opened.device));
    if let Some(limit) = limit.filter(|&limit| largest > limit) {
        let (largest, limit) = (size(largest), size(limit));
        let message = format!("a map needs {largest}, and the largest buffer of {} is {limit}", opened.description);
        return Err(StageError::new(message).help("a smaller micro-batch or smaller images; or mixed_precision: fp16"));
    }
    // The first pass compiles the kernels, which allocates memory that a run with compiled kernels doesn't need.
    pass(opened, job)?;
    pass(opened, job).map(Some)
}

/// One pass on a new thread, because a device's allocator has separate pages for each thread.
fn pass(opened: &Opened, job: &Job) -> Result<u64> {
    device::give_back(&opened.device)?;
    let before = device::device_memory(&opened.device).map_or(0, |(_, reserved)| reserved);
    let peak = std::thread::scope(|scope| {
        let work = || {
            settle(opened, job)?;
            device::dry_run(|| {
                let peak = play(opened, job);
                // Wait before the dry run ends: the device's thread may still be behind, and how it counts pages depends on
                // the dry run.
                device::synchronize(&opened.device)?;
                peak
            })
        };
        scope.spawn(work).join().unwrap_or_else(|_| Err(StageError::new("the device failed in a rehearsal")))
    })?;
    device::give_back(&opened.device)?;
    Ok(peak.saturating_sub(before))
}

/// Runs a tiny training for real, to allocate the launch buffers, which a dry run doesn't allocate.
fn settle(opened: &Opened, job: &Job) -> Result<()> {
    let norm = job.network.norms().next().map_or(NormKind::Group, |norm| norm.kind);
    let network =
        UNetConfig { size: Size { base: 2, depth: 2, norm: NormOptions::new(norm), classes: 1 }, deep_supervision: false }
            .network();
    let tiny = Job { network, loss: Loss::default(), micro_batch: (2, 8, 8), evaluation: None, ..job.clone() };
    play(opened, &tiny)?;
    device::synchronize(&opened.device)
}

fn play(opened: &Opened, job: &Job) -> Result<u64> {
    let ledger = Ledger::default();
    let state = State::zeros(&job.network.layout, &opened.device);
    let mut trainee = Trainee::new(job.network.clone(), state, job.loss.clone(), job.setting, ledger.clone())?;
    // Any decay costs the same.
    let mut optimizer = Optimizer::new(rule(job.optimizer), None).averaging(job.average.then_some(0.999));
    // Two windows, because the second one starts with the optimizer's state allocated, and its later micro-batches with the
    // sums and different gaps in the pages.
    for _ in 0..2 {
        for _ in 0..job.steps.min(MICRO_BATCHES) {
            trainee.add(blank(job.micro_batch))?;
            trainee.memory();
        }
        optimizer.rehearse(&mut trainee)?;
        trainee.memory();
    }
    if let Some(images) = job.evaluation {
        trainee.rehearse_evaluation(&blank(images))?;
        trainee.memory();
    }
    Ok(ledger.observed())
}

/// Any rule that keeps this number of values for each weight.
fn rule(values: u64) -> Rule {
    let sgd = |momentum| Rule::Sgd(Sgd { momentum, weight_decay: 0.0, nesterov: false });
    match values {
        0 => sgd(0.0),
        1 => sgd(0.9),
        _ => Rule::Adam(Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01, decoupled: true }),
    }
}

fn blank((samples, height, width): (usize, usize, usize)) -> MicroBatch {
    let pixels = samples * height * width;
    MicroBatch {
        samples: vec!["rehearsal".into(); samples],
        height,
        width,
        pixels: Pixels::Bytes(vec![0; 3 * pixels], Normalization::default()),
        masks: vec![0; pixels],
    }
}
