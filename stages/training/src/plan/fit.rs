//! Which settings fit a budget, and which of them is the fastest: every allowed combination is planned and estimated.
//! What changes the result of a training is never chosen unless the file leaves it open; image size never is.

use pipeline_contract::Result;
use serde::Serialize;

use super::{Job, Speed};
use crate::compute::Precision;
use crate::network::Checkpointing;
use crate::policy::Setting;

/// What a fit may choose; the rest is as in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Freedom {
    /// How a window's samples are cut into micro-batches.
    pub micro_batch: bool,
    /// Precisions to choose among.
    pub precisions: Vec<Precision>,
    /// What the backward pass makes again.
    pub checkpointing: bool,
}

/// One combination with what it takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Samples of a micro-batch.
    pub micro_batch: usize,
    /// Micro-batches of a window.
    pub accumulation: usize,
    /// What maps are stored in.
    pub mixed_precision: &'static str,
    /// What the backward pass makes again.
    pub gradient_checkpointing: &'static str,
    /// Bytes at the peak.
    pub peak: u64,
    /// Estimated seconds of one window, without waiting for data and without the optimizer.
    pub seconds: f64,
    /// Why it isn't the choice; nothing of the choice.
    pub why_not: Option<String>,
}

/// All combinations, the choice first, those that fit by time, then the others by memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The device's memory that there is, in bytes.
    pub budget: u64,
    /// What is left free of it, in bytes.
    pub margin: u64,
    /// The combinations.
    pub candidates: Vec<Candidate>,
    /// When nothing fits: the smallest budget that would do, in bytes.
    pub smallest_budget: Option<u64>,
    /// When nothing fits: the largest square image that would, in pixels; 0 when none does.
    pub largest_image: Option<usize>,
}

impl Fit {
    /// The fastest combination that fits.
    pub fn choice(&self) -> Option<&Candidate> {
        self.candidates.first().filter(|candidate| candidate.why_not.is_none())
    }
}

/// The share of a budget that is left free, for what no plan sees: the allocator's rounding, the driver.
pub const MARGIN: f64 = 0.05;

/// Estimates within this ratio of each other are the same.
const TIE: f64 = 1.03;

/// Plans all combinations and ranks them. `speed` is the device's for a precision.
///
/// # Errors
/// When the images don't fit the network.
pub fn fit(job: &Job, freedom: &Freedom, budget: u64, cpu: bool, speed: impl Fn(Precision) -> Result<Speed>) -> Result<Fit> {
    let margin = (budget as f64 * MARGIN) as u64;
    let room = budget.saturating_sub(margin);
    let mut candidates = Vec::new();
    for &precision in &freedom.precisions {
        let speed = speed(precision)?;
        for (micro_batch, checkpointing) in combinations(job, freedom) {
            let setting = Setting { precision, checkpointing, samples: usize::MAX };
            let forecast = job.forecast(micro_batch, setting, cpu)?;
            let accumulation = job.window() / micro_batch;
            candidates.push(Candidate {
                micro_batch,
                accumulation,
                mixed_precision: precision.name(),
                gradient_checkpointing: checkpointing.name(),
                peak: forecast.peak.total,
                seconds: speed.seconds(forecast.work) * accumulation as f64,
                why_not: None,
            });
        }
    }
    let fits = |candidate: &Candidate| candidate.peak <= room;
    let least =
        candidates.iter().filter(|&candidate| fits(candidate)).map(|candidate| candidate.seconds).min_by(f64::total_cmp);
    // An estimate doesn't tell times that are this near apart: of those, the one that takes least memory.
    let tied = |candidate: &Candidate| least.is_some_and(|least| candidate.seconds <= least * TIE);
    candidates.sort_by(|a, b| {
        fits(b).cmp(&fits(a)).then_with(|| match (fits(a), tied(a), tied(b)) {
            (true, true, true) | (false, ..) => a.peak.cmp(&b.peak),
            _ => a.seconds.total_cmp(&b.seconds),
        })
    });
    let fastest = candidates.first().filter(|first| first.peak <= room).map(|first| first.seconds);
    let ties: Vec<bool> = candidates.iter().map(tied).collect();
    for (place, candidate) in candidates.iter_mut().enumerate() {
        candidate.why_not = match fastest {
            _ if candidate.peak > room => Some(format!("{} over the budget less its margin", size(candidate.peak - room))),
            Some(_) if place > 0 && ties[place] => Some("no faster, and takes more".into()),
            Some(fastest) if place > 0 => Some(format!("{:.2}x the time of the choice", candidate.seconds / fastest)),
            _ => None,
        };
    }
    let smallest = candidates.iter().map(|candidate| candidate.peak).min().filter(|_| fastest.is_none());
    Ok(Fit {
        budget,
        margin,
        smallest_budget: smallest.map(|peak| (peak as f64 / (1.0 - MARGIN)).ceil() as u64),
        largest_image: match fastest {
            Some(_) => None,
            None => Some(largest_image(job, freedom, room, cpu)),
        },
        candidates,
    })
}

/// Micro-batches that divide the window, and checkpointing modes.
fn combinations(job: &Job, freedom: &Freedom) -> Vec<(usize, Checkpointing)> {
    let batches: Vec<usize> = match freedom.micro_batch && !job.batch_matters() {
        true => (1..=job.window()).filter(|samples| job.window().is_multiple_of(*samples)).collect(),
        false => vec![job.micro_batch.0],
    };
    let modes = if freedom.checkpointing { Checkpointing::ALL.to_vec() } else { vec![job.setting.checkpointing] };
    batches.iter().flat_map(|&samples| modes.iter().map(move |&mode| (samples, mode))).collect()
}

/// The largest square image, a multiple of the network's stride, that fits with the smallest settings allowed.
fn largest_image(job: &Job, freedom: &Freedom, room: u64, cpu: bool) -> usize {
    let stride = job.network.config().stride();
    let fits = |size: usize| {
        let smaller = Job { micro_batch: (job.micro_batch.0, size, size), evaluation: None, ..job.clone() };
        freedom.precisions.iter().any(|&precision| {
            combinations(job, freedom).into_iter().any(|(samples, checkpointing)| {
                let setting = Setting { precision, checkpointing, samples: usize::MAX };
                smaller.forecast(samples, setting, cpu).is_ok_and(|forecast| forecast.peak.total <= room)
            })
        })
    };
    let (mut low, mut high) = (0, job.micro_batch.1.max(job.micro_batch.2) / stride);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(middle * stride) { low = middle } else { high = middle - 1 }
    }
    low * stride
}

/// A size in words: `1.25 GiB`, `12.0 MiB`.
pub fn size(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes >= 1024.0 { format!("{:.2} GiB", mebibytes / 1024.0) } else { format!("{mebibytes:.1} MiB") }
}
