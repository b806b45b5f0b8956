//! Compares a window with the same samples as one batch, in a file's own settings: whether accumulation gives the large
//! batch's gradients, and if not, why.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use pipeline_contract::{ItemContext, Nothing, Output, Result, Sequential, StageError, StageKind, stage_rng};
use pipeline_images::Batch;
use pipeline_kernels::all_finite;

use crate::backend;
use crate::device::{self, Platform};
use crate::memory::Ledger;
use crate::micro_batch::MicroBatch;
use crate::network::Checkpointing;
use crate::parameters::{Role, State};
use crate::plan::Job;
use crate::policy::{LossScale, Setting};
use crate::precision::Precision;
use crate::stages::loss_and_init;
use crate::trainee::Trainee;
use crate::{model, weights};

/// Micro-batches as they reach the training stage, collected by a stage that stands in for it.
#[derive(Debug, Clone, Default)]
pub struct Collected(Arc<Mutex<Vec<Batch>>>);

impl Collected {
    /// The stage that stands in for the training stage: it keeps the first `wanted` micro-batches and calls `enough` when it
    /// has them.
    pub fn kind(&self, wanted: usize, enough: impl Fn() + Send + Sync + 'static) -> StageKind {
        let (collected, enough) = (self.clone(), Arc::new(enough));
        StageKind::sequential("collect", "keeps the first window", move |(): (), _| {
            Ok(Collect { collected: collected.clone(), wanted, enough: enough.clone() })
        })
    }

    /// Takes the collected micro-batches.
    pub fn take(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Collect {
    collected: Collected,
    wanted: usize,
    enough: Arc<dyn Fn() + Send + Sync>,
}

impl Sequential for Collect {
    type In = Batch;
    type Out = Nothing;

    fn item(&mut self, input: Batch, _: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        let mut batches = self.collected.0.lock().unwrap_or_else(PoisonError::into_inner);
        if batches.len() < self.wanted {
            batches.push(input);
        }
        if batches.len() == self.wanted {
            (self.enough)();
        }
        Ok(())
    }
}

/// The differences between the window's and the batch's gradients for one group of tensors, as relative L2 norms.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The block, as named in its tensors' names: `down.0`.
    pub name: String,
    /// Window against one batch, both in the file's settings.
    pub accumulation: f64,
    /// Window in the file's settings against one batch in float32 without checkpointing; this adds the error of the
    /// precision.
    pub settings: f64,
    /// The float32 batch on a graphics device against the same batch on the CPU: the device's error. `None` on the CPU.
    pub device: Option<f64>,
}

/// The largest difference at which a graphics device counts as correct in float32: its kernels may multiply with ten bits
/// (TF32), which gives errors of about a thousandth.
const DEVICE_TOLERANCE: f64 = 1e-2;

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowReport {
    /// What was compared, in words.
    pub about: String,
    /// The groups, in the order of the network.
    pub groups: Vec<Group>,
    /// The largest difference that counts as rounding.
    pub tolerance: f64,
    /// The likely cause if window and batch differ.
    pub cause: Option<String>,
}

impl WindowReport {
    /// True when the window's gradients match the batch's within rounding, and a graphics device's match the CPU's.
    pub fn ok(&self) -> bool {
        self.groups.iter().all(|group| group.accumulation <= self.tolerance) && self.wrong().is_none()
    }

    /// The group with the largest error on a graphics device, if that error is more than rounding.
    fn wrong(&self) -> Option<(&str, f64)> {
        // NaN is never within the tolerance, whatever its sign.
        let far = |far: f64| if far.is_nan() { f64::INFINITY } else { far };
        let of = |group: &'_ Group| group.device.map(far).filter(|&far| far > DEVICE_TOLERANCE);
        let wrong = self.groups.iter().filter_map(|group| Some((group.name.as_str(), of(group)?)));
        wrong.max_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

impl fmt::Display for WindowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { about, groups, tolerance, cause } = self;
        writeln!(f, "{about}")?;
        let there = groups.iter().any(|group| group.device.is_some());
        let head = if there { format!("  {:>16}", "device vs CPU") } else { String::new() };
        writeln!(f, "{:<4}  {:<12}  {:>16}  {:>22}{head}", "", "group", "window vs batch", "vs float32, no ckpt")?;
        for Group { name, accumulation, settings, device } in groups {
            let verdict = if accumulation <= tolerance { "ok" } else { "DIFF" };
            let device = device.map(|device| format!("  {device:>16.1e}")).unwrap_or_default();
            writeln!(f, "{verdict:<4}  {name:<12}  {accumulation:>16.1e}  {settings:>22.1e}{device}")?;
        }
        match cause {
            None => writeln!(f, "accumulation gives the large batch's gradients (relative L2 within {tolerance:.0e})")?,
            Some(cause) => writeln!(f, "accumulation does NOT give the large batch's gradients: {cause}")?,
        }
        match self.wrong() {
            Some((name, far)) => writeln!(
                f,
                "the device does NOT give the CPU's gradients in float32: those of {name} are off by {far:.1e}, which is a fault of its \
                 driver or of its kernels; don't train on it"
            ),
            None if there => {
                writeln!(f, "the device gives the CPU's gradients (float32, relative L2 within {DEVICE_TOLERANCE:.0e})")
            }
            None => Ok(()),
        }
    }
}

/// Compares the gradients of a window of micro-batches with those of the same samples as one batch; on a graphics device it
/// also compares the batch's gradients with the CPU's, at the sizes used in training, because kernels are chosen by size and
/// may be wrong for some sizes.
///
/// # Errors
/// When there is no sample, the images differ in size, or the device fails.
pub fn compare(job: &Job, train: (&str, &serde_json::Value), seed: u64, batches: Vec<Batch>) -> Result<WindowReport> {
    let (stage, options) = train;
    let opened = device::open(&job.device)?;
    device::supports(&opened, job.setting.precision)?;
    let whole = joined(&batches)?;
    let samples = whole.samples.len();
    let gradients = |parts: &[Batch], setting: Setting, device: &Device| -> Result<Vec<Vec<f32>>> {
        let mut scale = LossScale::new(setting.precision, LossScale::START);
        loop {
            let (loss, init) = loss_and_init(options)?;
            let state = match init {
                Some(path) => model::load(&job.network, &path, device)?,
                None => {
                    State::fresh(&job.network.layout, device, |name| stage_rng(seed, 0, &format!("weights {name}"), stage))?
                }
            };
            let mut trainee = Trainee::new(job.network.clone(), state, loss, setting, Ledger::default())?;
            trainee.scale = scale;
            parts.iter().try_for_each(|part| trainee.add_or_retry(MicroBatch::of(part.clone(), job.network.classes)))?;
            let sums = trainee.gradients().iter().map(weights::values).collect::<Result<Vec<_>>>()?;
            // A window that overflows doesn't count: training would lower the scale and take the next one.
            if sums.iter().all(|sums| all_finite(sums)) || !scale.overflowed() {
                let factor = 1.0 / (trainee.scale.scale() * samples as f64);
                let mean = |sums: Vec<f32>| sums.iter().map(|&sum| (f64::from(sum) * factor) as f32).collect();
                return Ok(sums.into_iter().map(mean).collect());
            }
        }
    };
    let micro_batches = batches.len();
    let window = gradients(&batches, job.setting, &opened.device)?;
    let one = [whole];
    let batch = gradients(&one, job.setting, &opened.device)?;
    let plain = Setting { precision: Precision::Float32, checkpointing: Checkpointing::None, samples: usize::MAX };
    let exact = gradients(&one, plain, &opened.device)?;
    let is_reference = Platform::of(&opened.device).is_reference();
    let here = if is_reference { exact.clone() } else { gradients(&one, plain, &device::open("cpu")?.device)? };
    let mut groups: Vec<(String, [f64; 6])> = Vec::new();
    let all = window.iter().zip(&batch).zip(exact.iter().zip(&here));
    for (spec, ((window, batch), (exact, here))) in job.network.layout.of(Role::Trained).zip(all) {
        // `down.0.conv1.weight` belongs to `down.0`, `head.weight` to `head`.
        let parts: Vec<&str> = spec.name.split('.').collect();
        let name = parts[..parts.len().saturating_sub(1).clamp(1, 2)].join(".");
        let pair = |of: &[f32], to: &[f32]| [distance(of, to), square(to)];
        let [[a, b], [c, d], [e, f]] = [pair(window, batch), pair(window, exact), pair(exact, here)];
        let sums = [a, b, c, d, e, f];
        match groups.last_mut().filter(|(last, _)| *last == name) {
            Some((_, all)) => all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum),
            None => groups.push((name, sums)),
        }
    }
    let mut whole = [0.0; 6];
    groups.iter().for_each(|(_, sums)| whole.iter_mut().zip(sums).for_each(|(whole, sum)| *whole += sum));
    groups.push(("all".into(), whole));
    let ratio = |difference: f64, size: f64| (difference / size.max(f64::MIN_POSITIVE)).sqrt();
    let groups: Vec<Group> = groups
        .into_iter()
        .map(|(name, [a, b, c, d, e, f])| {
            let device = (!is_reference).then(|| ratio(e, f));
            Group { name, accumulation: ratio(a, b), settings: ratio(c, d), device }
        })
        .collect();
    let tolerance = backend::of(&opened.device).rounding(job.setting.precision);
    let agree = groups.iter().all(|group| group.accumulation <= tolerance);
    let about = format!(
        "a window of {micro_batches} micro-batches ({samples} samples) against the same as one batch, {}, {}, on {}",
        job.setting.precision.name(),
        job.setting.checkpointing.name(),
        opened.description
    );
    Ok(WindowReport { about, groups, tolerance, cause: (!agree).then(|| cause(job)) })
}

/// Names the part of the training that depends on more than one sample at a time. The losses don't, since each sample has
/// its own, and there is no dropout.
fn cause(job: &Job) -> String {
    if job.batch_matters() {
        "batch norm takes its statistics from the micro-batch that it sees, not from the window; `norm: group` (or instance) \
         doesn't look at other samples"
            .into()
    } else {
        "nothing in this network looks at more than one sample, so this is not rounding but a fault of the device or of \
         this program"
            .into()
    }
}

/// Joins all samples of a window into one batch.
fn joined(batches: &[Batch]) -> Result<Batch> {
    let mut batches = batches.iter();
    let none = || StageError::new("no sample reaches the training").help("look at the source's folder");
    let mut whole = batches.next().ok_or_else(none)?.clone();
    for batch in batches {
        if (batch.height, batch.width) != (whole.height, whole.width) {
            return Err(StageError::new("the window's images differ in size, so they can't be one batch")
                .help("a `resize` stage makes all images of one size"));
        }
        whole.samples.extend(batch.samples.iter().cloned());
        whole.images.extend(&batch.images);
        whole.masks.extend(&batch.masks);
    }
    Ok(whole)
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_wrong_or_gives_no_number_fails() {
        let report = |far: Option<f64>| {
            let group = |name: &str, device| Group { name: name.into(), accumulation: 0.0, settings: 0.0, device };
            let groups = vec![group("down.0", far.map(|_| 1e-6)), group("head", far)];
            WindowReport { about: String::new(), groups, tolerance: 1e-5, cause: None }
        };
        for far in [None, Some(0.0), Some(1e-3)] {
            assert!(report(far).ok(), "{far:?}");
        }
        for far in [0.02, f64::NAN, -f64::NAN, f64::INFINITY] {
            let report = report(Some(far));
            assert!(!report.ok() && report.to_string().contains("does NOT give the CPU's gradients in float32: those of head"));
        }
    }
}
