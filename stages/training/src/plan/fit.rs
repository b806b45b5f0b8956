//! Finds the settings that fit a memory budget and the fastest of them: every allowed combination is planned and its time
//! estimated. Settings that change the training's result are chosen only if the file leaves them open; the image size is
//! never changed.

use pipeline_contract::Result;
use serde::Serialize;

use super::ask::{Ask, MARGIN, TIE};
use super::job::Job;
use super::tiles::{self, Room, TileChoice};
use crate::device::Platform;
use crate::network::Checkpointing;
use crate::policy::Setting;
use crate::precision::Precision;

/// The settings that a fit may choose; the others stay as in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Freedom {
    /// Whether it may choose how a window's samples are divided into micro-batches.
    pub micro_batch: bool,
    /// Precisions to choose among.
    pub precisions: Vec<Precision>,
    /// Whether it may choose what the backward pass recomputes.
    pub checkpointing: bool,
}

/// One combination of settings, with its memory and time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Samples of a micro-batch.
    pub micro_batch: usize,
    /// Micro-batches of a window.
    pub accumulation: usize,
    /// The type that maps are stored in.
    pub mixed_precision: &'static str,
    /// What the backward pass recomputes.
    pub gradient_checkpointing: &'static str,
    /// Bytes at the peak.
    pub peak: u64,
    /// True when `peak` is a plan's estimate that wasn't checked with the graphics device's allocator.
    pub estimate: bool,
    /// True when a map is larger than the device's largest buffer.
    pub too_large: bool,
    /// Estimated seconds per window, without waiting for data and without the optimizer.
    pub seconds: f64,
    /// Why it isn't the choice; `None` for the choice.
    pub why_not: Option<String>,
}

impl Candidate {
    fn fits(&self, room: u64) -> bool {
        self.peak <= room && !self.too_large
    }
}

/// All combinations: the choice first, then those that fit, by time, then the others, by memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fit {
    /// The device memory available, in bytes.
    pub budget: u64,
    /// The part of the budget that is left free, in bytes.
    pub margin: u64,
    /// The combinations.
    pub candidates: Vec<Candidate>,
    /// The tiles of evaluators that leave them open.
    pub tiles: Vec<TileChoice>,
    /// When nothing fits: the smallest budget that would be enough, in bytes.
    pub smallest_budget: Option<u64>,
    /// When nothing fits: the side of the largest square image that would fit, in pixels; 0 if none does.
    pub largest_image: Option<usize>,
    /// When the training fits and the tiles that the file names don't: the side of the largest square tile that would, in pixels.
    pub largest_tile: Option<usize>,
}

impl Fit {
    /// The fastest combination that fits.
    pub fn choice(&self) -> Option<&Candidate> {
        self.candidates.first().filter(|candidate| candidate.why_not.is_none())
    }
}

/// Larger micro-batches are considered only if the file already uses them.
const MOST: usize = 1024;

/// Plans all combinations and ranks them. On a graphics device a plan is only an estimate of what the allocator will
/// reserve, so the device is asked about the best candidate and, if that one doesn't fit after all, about the next.
///
/// # Errors
/// When the images don't fit the network, or the device fails.
pub fn fit(job: &Job, freedom: &Freedom, budget: u64, platform: Platform, ask: &impl Ask) -> Result<Fit> {
    let (job, margin) = (&job.squeezed(), (budget as f64 * MARGIN) as u64);
    let room = budget.saturating_sub(margin);
    let (mut candidates, limit) = (Vec::new(), ask.largest_buffer());
    for &precision in &freedom.precisions {
        let speed = ask.speed(precision)?;
        for (micro_batch, checkpointing) in combinations(job, freedom) {
            let setting = Setting { precision, checkpointing, samples: usize::MAX };
            let forecast = job.forecast(micro_batch, setting, platform)?;
            let accumulation = job.window() / micro_batch;
            candidates.push(Candidate {
                micro_batch,
                accumulation,
                mixed_precision: precision.name(),
                gradient_checkpointing: checkpointing.name(),
                peak: forecast.peak.total,
                estimate: !platform.plans_exactly(),
                too_large: limit.is_some_and(|limit| forecast.largest > limit),
                seconds: speed.seconds(forecast.work) * accumulation as f64,
                why_not: None,
            });
        }
    }
    rank(job, &mut candidates, room);
    let mut learned = 1.0;
    while let Some(first) = candidates.first().filter(|first| first.estimate && !first.too_large) {
        let (Some(setting), planned) = (setting(first), first.peak.max(1)) else { break };
        let Some(reserved) = ask.reserved(first.micro_batch, setting)? else { break };
        // Until they are checked themselves, the other estimates are assumed to be off by the same factor as this one.
        let more = reserved as f64 / planned as f64;
        learned *= more;
        for candidate in candidates.iter_mut().filter(|candidate| candidate.estimate) {
            candidate.peak = (candidate.peak as f64 * more) as u64;
        }
        (candidates[0].peak, candidates[0].estimate) = (reserved, false);
        rank(job, &mut candidates, room);
    }
    let fastest = explain(job, &mut candidates, room);
    let possible = candidates.iter().filter(|candidate| !candidate.too_large);
    let smallest = possible.map(|candidate| candidate.peak).min().filter(|_| fastest.is_none());
    let choice = candidates.first().filter(|_| fastest.is_some());
    let tiles = choice
        .and_then(|choice| Some((choice.micro_batch, setting(choice)?)))
        .map(|(micro_batch, setting)| tiles::choose(job, &Room { micro_batch, setting, bytes: room, learned, platform }, ask));
    let tiles = tiles.transpose()?.unwrap_or_default();
    let tried: Vec<_> = candidates.iter().filter_map(|candidate| Some((candidate.micro_batch, setting(candidate)?))).collect();
    let unlearned = (room as f64 / learned) as u64;
    Ok(Fit {
        budget,
        margin,
        smallest_budget: smallest.map(|peak| (peak as f64 / (1.0 - MARGIN)).ceil() as u64),
        largest_image: match fastest {
            Some(_) => None,
            None => Some(largest_image(job, freedom, unlearned, platform)),
        },
        largest_tile: match fastest {
            Some(_) => None,
            None => tiles::largest(job, &tried, unlearned, platform),
        },
        tiles,
        candidates,
    })
}

fn setting(candidate: &Candidate) -> Option<Setting> {
    let precision = Precision::named(candidate.mixed_precision)?;
    let checkpointing = Checkpointing::named(candidate.gradient_checkpointing)?;
    Some(Setting { precision, checkpointing, samples: usize::MAX })
}

/// True when the candidate's precision differs from the file's.
fn changes(job: &Job, candidate: &Candidate) -> bool {
    candidate.mixed_precision != job.setting.precision.name()
}

/// Returns a test for whether a candidate's time is indistinguishable from the shortest among those that fit.
fn tied(candidates: &[Candidate], room: u64) -> impl Fn(&Candidate) -> bool + use<> {
    let fit = candidates.iter().filter(|candidate| candidate.fits(room));
    let least = fit.map(|candidate| candidate.seconds).min_by(f64::total_cmp);
    move |candidate| least.is_some_and(|least| candidate.seconds <= least * TIE)
}

/// Sorts the candidates: those that fit by time, then the others by memory.
fn rank(job: &Job, candidates: &mut [Candidate], room: u64) {
    let fits = |candidate: &Candidate| candidate.fits(room);
    let tied = tied(candidates, room);
    // Estimates can't distinguish times this close. Among those, prefer the candidate that doesn't change results, then one
    // that changes nothing, then the one that recomputes least, then the one that needs the least memory.
    let other = |candidate: &Candidate| {
        let mode = job.setting.checkpointing.name();
        candidate.micro_batch != job.micro_batch.0 || candidate.gradient_checkpointing != mode
    };
    candidates.sort_by(|a, b| {
        let own = |candidate: &Candidate| {
            let mode = Checkpointing::named(candidate.gradient_checkpointing);
            (changes(job, candidate), other(candidate), mode, candidate.peak)
        };
        fits(b).cmp(&fits(a)).then_with(|| match (fits(a), tied(a), tied(b)) {
            (true, true, true) => own(a).cmp(&own(b)),
            (false, ..) => (a.too_large, a.peak).cmp(&(b.too_large, b.peak)),
            _ => a.seconds.total_cmp(&b.seconds),
        })
    });
}

/// Sets each candidate's reason for not being the choice. Returns the time of the choice, if there is one.
fn explain(job: &Job, candidates: &mut [Candidate], room: u64) -> Option<f64> {
    let fastest = candidates.first().filter(|first| first.fits(room)).map(|first| first.seconds);
    let tied = tied(candidates, room);
    for (place, candidate) in candidates.iter_mut().enumerate() {
        candidate.why_not = match fastest {
            _ if candidate.too_large => Some("a map exceeds the device's largest buffer".into()),
            _ if candidate.peak > room => Some(format!("{} over the budget less its margin", size(candidate.peak - room))),
            Some(fastest) if place > 0 => Some(match (tied(candidate), changes(job, candidate)) {
                (true, true) => "not clearly faster, and changes results".into(),
                (true, false) => "not clearly faster".into(),
                _ => format!("{:.2}x the time of the choice", candidate.seconds / fastest),
            }),
            _ => None,
        };
    }
    fastest
}

/// All allowed pairs of a micro-batch size that divides the window and a checkpointing mode.
fn combinations(job: &Job, freedom: &Freedom) -> Vec<(usize, Checkpointing)> {
    let (own, window) = (job.micro_batch.0, job.window());
    let batches: Vec<usize> = match freedom.micro_batch && !job.micro_batch_is_pinned() {
        true => (1..=window.min(MOST.max(own))).filter(|samples| window.is_multiple_of(*samples)).collect(),
        false => vec![own],
    };
    let modes = if freedom.checkpointing { Checkpointing::ALL.to_vec() } else { vec![job.setting.checkpointing] };
    batches.iter().flat_map(|&samples| modes.iter().map(move |&mode| (samples, mode))).collect()
}

/// The largest square image, a multiple of the network's stride, that fits with any of the allowed settings.
fn largest_image(job: &Job, freedom: &Freedom, room: u64, platform: Platform) -> usize {
    let stride = job.network.stride;
    let fits = |size: usize| {
        let evaluation = job.evaluation.map(|(samples, ..)| (samples, size, size)).filter(|_| !job.tiled).or(job.evaluation);
        let smaller = Job { micro_batch: (job.micro_batch.0, size, size), evaluation, ..job.clone() };
        freedom.precisions.iter().any(|&precision| {
            combinations(job, freedom).into_iter().any(|(samples, checkpointing)| {
                let setting = Setting { precision, checkpointing, samples: usize::MAX };
                smaller.forecast(samples, setting, platform).is_ok_and(|forecast| forecast.peak.total <= room)
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

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use crate::loss::Loss;
    use crate::networks::UNetConfig;
    use crate::plan::Speed;

    /// A job whose windows are one batch of four samples of 64 x 64.
    fn job(norm: &str) -> Job {
        Job {
            network: UNetConfig::new(8, 3, norm).expect("a small network").network(),
            micro_batch: (4, 64, 64),
            steps: 1,
            setting: Setting::default(),
            optimizer: 2,
            average: false,
            evaluation: Some((8, 64, 64)),
            tiled: false,
            tiles: Vec::new(),
            drops_last: false,
            loss: Loss::default(),
            device: "cpu".to_owned(),
            keys: crate::plan::Keys::default(),
        }
    }

    /// A device on which a half-precision pass takes `half` times as long as a float32 pass, and whose allocator reserves
    /// `reserves` times the planned bytes, by checkpointing mode.
    struct Device {
        half: f64,
        reserves: Option<[f64; 3]>,
        asked: std::cell::Cell<usize>,
        job: Job,
        largest: Option<u64>,
    }

    impl Ask for Device {
        fn speed(&self, precision: Precision) -> Result<Speed> {
            let factor = if precision.is_half() { self.half } else { 1.0 };
            Ok(Speed { flop: 1e-11 * factor, value: 1e-9 * factor, operation: 0.0 })
        }

        fn reserved(&self, micro_batch: usize, setting: Setting) -> Result<Option<u64>> {
            self.asked.set(self.asked.get() + 1);
            let Some(reserves) = self.reserves else { return Ok(None) };
            let planned = self.job.squeezed().forecast(micro_batch, setting, Platform::Graphics)?.peak.total;
            let place = Checkpointing::ALL.iter().position(|&mode| mode == setting.checkpointing).expect("one of all");
            Ok(Some((planned as f64 * reserves[place]) as u64))
        }

        fn largest_buffer(&self) -> Option<u64> {
            self.largest
        }
    }

    /// Runs a fit on such a device. Returns it with the number of times that the device was asked.
    fn asked(budget: u64, half: f64, norm: &str, reserves: Option<[f64; 3]>) -> (Fit, usize) {
        let job = job(norm);
        let precisions = vec![Precision::Float32, Precision::Float16];
        let freedom = Freedom { micro_batch: true, precisions, checkpointing: true };
        let device = Device { half, reserves, asked: 0.into(), job: job.clone(), largest: None };
        let platform = if reserves.is_none() { Platform::Cpu } else { Platform::Graphics };
        let fit = fit(&job, &freedom, budget, platform, &device).expect("images that fit the network");
        (fit, device.asked.get())
    }

    fn chosen(budget: u64, half: f64, norm: &str) -> Fit {
        asked(budget, half, norm, None).0
    }

    #[test]
    fn on_a_graphics_device_the_choice_is_one_that_its_allocator_was_asked_for() {
        let (fit, times) = asked(1 << 30, 1.0, "group", Some([2.0; 3]));
        let choice = fit.choice().expect("1 GiB are plenty").clone();
        assert_eq!((times, choice.estimate, choice.gradient_checkpointing), (1, false, "none"));
        // By the plan it would just fit; but on this device `none` reserves far more than `full` does.
        let budget = choice.peak / 2 * 100 / 94;
        let (fit, times) = asked(budget, 1.0, "group", Some([2.0, 2.0, 1.0]));
        let other = fit.choice().expect("a smaller one fits");
        assert!(times > 1 && !other.estimate && other.peak <= budget - fit.margin, "{other:?}");
        let none = fit.candidates.iter().find(|candidate| candidate.peak == choice.peak).expect("what was asked first");
        assert!(!none.estimate && none.why_not.is_some());
        // When nothing fits, the smallest budget comes from what the device answered.
        let (fit, _) = asked(1 << 18, 1.0, "group", Some([2.0, 2.0, 1.0]));
        assert!(fit.choice().is_none() && !fit.candidates[0].estimate);
        let again = fit.smallest_budget.expect("some budget");
        assert!(asked(again, 1.0, "group", Some([2.0, 2.0, 1.0])).0.choice().is_some());
    }

    #[test]
    fn results_change_only_for_time_or_for_want_of_memory() {
        let choice = |budget, half| chosen(budget, half, "group").choice().map(|choice| choice.mixed_precision);
        for half in [1.0, 0.95] {
            assert_eq!(choice(1 << 30, half), Some("no"), "it fits and is as fast");
        }
        assert_eq!(choice(1 << 30, 0.6), Some("fp16"), "it is faster, and the file allows it");
        let float32 = |fit: &Fit| {
            let peaks = fit.candidates.iter().filter(|candidate| candidate.mixed_precision == "no");
            peaks.map(|candidate| candidate.peak).min().expect("float32 is among them")
        };
        let least = float32(&chosen(1 << 30, 1.0, "group"));
        assert_eq!(choice(least, 1.0), Some("fp16"), "less the margin only half precision fits");
    }

    #[test]
    fn a_map_that_no_buffer_may_be_is_never_chosen() {
        let job = job("group");
        // Four samples of 64 x 64 with 8 channels, in float32.
        let map = 4 * 64 * 64 * 8 * 4;
        let freedom = Freedom { micro_batch: true, precisions: vec![Precision::Float32], checkpointing: true };
        let chosen = |largest| {
            let device =
                Device { half: 1.0, reserves: Some([1.0; 3]), asked: 0.into(), job: job.clone(), largest: Some(largest) };
            let fit = fit(&job, &freedom, 1 << 30, Platform::Graphics, &device).expect("images that fit the network");
            fit.choice().map(|choice| choice.micro_batch)
        };
        assert_eq!([map, map - 1, map / 2 - 1, map / 4 - 1].map(chosen), [Some(4), Some(1), Some(1), None]);
    }

    #[test]
    fn of_what_is_as_fast_the_files_own_is_chosen_and_the_window_stays() {
        let fit = chosen(1 << 30, 1.0, "group");
        let of = |choice: &Candidate| (choice.micro_batch, choice.accumulation, choice.gradient_checkpointing);
        assert_eq!(fit.choice().map(of), Some((4, 1, "none")), "1 GiB are plenty");
        assert!(fit.candidates.iter().all(|candidate| candidate.micro_batch * candidate.accumulation == 4));
        assert!(fit.candidates[1..].iter().all(|candidate| candidate.why_not.is_some()));
        let own = fit.candidates[0].peak;
        assert_eq!(chosen(own, 1.0, "group").choice().map(of), Some((1, 4, "none")), "less the margin it doesn't fit");
        // Batch norm sees the samples that pass together, so its micro-batch isn't split.
        assert!(chosen(1 << 30, 1.0, "batch").candidates.iter().all(|candidate| candidate.micro_batch == 4));
    }

    #[test]
    fn an_endless_window_is_weighed_in_no_time() {
        let job = Job { steps: usize::MAX, ..job("group") };
        let freedom = Freedom { micro_batch: true, precisions: vec![Precision::Float32], checkpointing: true };
        let device = Device { half: 1.0, reserves: None, asked: 0.into(), job: job.clone(), largest: None };
        assert!(fit(&job, &freedom, 1 << 30, Platform::Cpu, &device).is_ok_and(|fit| fit.choice().is_some()));
    }

    #[test]
    fn when_nothing_fits_what_would_is_named() {
        let fit = chosen(1 << 18, 1.0, "group");
        assert!(fit.choice().is_none());
        let (budget, image) = (fit.smallest_budget.expect("some budget"), fit.largest_image.expect("some size"));
        assert!(
            chosen(budget, 1.0, "group").choice().is_some() && chosen(budget - budget / 50, 1.0, "group").choice().is_none()
        );
        assert!(image < 64 && image.is_multiple_of(4), "{image}");
    }
}
