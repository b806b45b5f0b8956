//! The comparison: runs a reference's samples through the stages' own code and measures the differences. `reference` opens
//! the file; `report` prints the table.

use std::ops::Range;
use std::path::Path;

use burn::tensor::Device;
use pipeline_contract::Result;

use super::reference::Reference;
use super::report::{Kind, Report, Row};
use super::runs::Run;
use crate::backend;
use crate::device::{self, Opened};
use crate::memory::Ledger;
use crate::network::Network;
use crate::optimizer::{Optimizer, Rule};
use crate::parameters::{Role, State, TensorSpec};
use crate::policy::Setting;
use crate::precision::Precision;
use crate::trainee::{Shared, Trainee};
use crate::weights;
use crate::window::{Gradients, Window};

/// The largest differences allowed between a precision's figures and PyTorch's in float64.
#[derive(Clone, Copy)]
struct Tolerances {
    /// Logits, relative L2.
    logits: f64,
    /// The gradient of each tensor, relative L2. PyTorch's own autocast is off by up to 4e-2 in fp16 and 9e-2 in bf16 here.
    gradient: f64,
    /// A tensor's gradient that is smaller than this share of the whole gradient is measured against that share: where a
    /// norm cancels a scale (one channel, say) the exact gradient is almost zero and only its rounding is left. In half
    /// precision the rounding of the maps affects every tensor's gradient, so each one is measured against the whole
    /// gradient.
    floor: f64,
    /// Losses, relative.
    loss: f64,
    /// Losses under AdamW, which divides by roots of small means and so magnifies rounding.
    loss_adamw: f64,
    /// Weights and statistics after a run, absolute.
    weights: f64,
    weights_adamw: f64,
}

impl Tolerances {
    /// The tolerances for a precision. `is_tight` is for a reference whose figures PyTorch's float32 meets within a tenth of
    /// them.
    fn of(precision: Precision, is_tight: bool) -> Self {
        let (logits, gradient, floor, loss, loss_adamw, weights, weights_adamw) = match precision {
            Precision::Float32 if is_tight => (2e-5, 1e-4, 1e-4, 1e-6, 1e-6, 3e-6, 3e-6),
            Precision::Float32 => (1e-4, 1e-4, 1e-4, 1e-5, 1e-4, 1e-4, 5e-4),
            // Products with factors of as many bits as float16's.
            Precision::Tf32 | Precision::Float16 if is_tight => (2e-2, 6e-2, 1.0, 5e-3, 5e-3, 5e-2, 5e-2),
            Precision::BFloat16 if is_tight => (8e-2, 2.5e-1, 1.0, 8e-3, 8e-3, 5e-2, 5e-2),
            Precision::Tf32 | Precision::Float16 => (2e-2, 6e-2, 1.0, 2e-3, 2e-3, 5e-3, 2e-2),
            Precision::BFloat16 => (8e-2, 2.5e-1, 1.0, 8e-3, 8e-3, 2e-2, 5e-2),
        };
        Self { logits, gradient, floor, loss, loss_adamw, weights, weights_adamw }
    }
}

/// The largest reference accepted, in bytes. References are made from small networks.
const LARGEST: u64 = 1 << 30;

/// Compares this build, on the named device and in a precision, with the reference file at `path`.
///
/// # Errors
/// When the file can't be read or isn't a reference, or the device can't be opened or doesn't support the precision.
/// Differences aren't errors: see [`Report::ok`].
pub fn verify(path: &Path, device: &str, precision: Precision) -> Result<Report> {
    let bytes = weights::read_file(path, LARGEST)?;
    verify_bytes(&bytes, device, precision).map_err(|error| error.context(path.display()))
}

/// Like [`verify`], with the bytes of a reference file.
///
/// # Errors
/// The same as for [`verify`].
pub fn verify_bytes(bytes: &[u8], device: &str, precision: Precision) -> Result<Report> {
    let opened = device::open(device)?;
    device::supports(&opened, precision)?;
    compare(bytes, &opened, precision)
}

fn compare(bytes: &[u8], opened: &Opened, precision: Precision) -> Result<Report> {
    let reference = Reference::open(bytes)?;
    let tolerances = Tolerances::of(precision, reference.is_tight);
    let case = Case { reference, device: &opened.device, precision, tolerances };
    let mut rows = vec![case.pixels()?];
    case.pass(&mut rows)?;
    for run in &case.reference.runs {
        case.train(run, &mut rows)?;
    }
    let (about, precision) = (case.reference.about(), precision.name());
    Ok(Report { about: format!("{about}, mixed_precision {precision}, against PyTorch, on {}", opened.description), rows })
}

/// The inputs of a comparison.
struct Case<'a> {
    reference: Reference<'a>,
    device: &'a Device,
    precision: Precision,
    tolerances: Tolerances,
}

impl Case<'_> {
    fn share(&self) -> Result<Shared> {
        let (state, network) = (self.reference.start(self.device)?, self.reference.network.clone());
        let setting = Setting { precision: self.precision, ..Setting::default() };
        Ok(Shared::new(Trainee::new(network, state, self.reference.loss.clone(), setting, Ledger::default())?))
    }

    /// Compares how the device converts each 8-bit value of each channel to a float with the CPU's conversion, in the
    /// precision; they must agree to the last bit.
    fn pixels(&self) -> Result<Row> {
        let cpu = device::open("cpu")?.device;
        let made = |device: &Device| backend::of(device).every_pixel(device, self.precision);
        let (actual, expected) = (made(self.device)?, made(&cpu)?);
        Ok(row(
            "pixels",
            "0 to 255, 3 channels",
            Kind::Absolute,
            f64::from(f32::MIN_POSITIVE),
            &widen(&actual),
            &widen(&expected),
        ))
    }

    /// Compares logits, loss and gradients of the first two samples.
    fn pass(&self, rows: &mut Vec<Row>) -> Result<()> {
        let (reference, tolerances) = (&self.reference, &self.tolerances);
        let (network, batch) = (self.share()?, reference.samples(0..2)?);
        let mut trainee = network.lock()?;
        let logits = trainee.logits(&batch)?;
        rows.push(row("logits", "x[0:2]", Kind::RelativeL2, tolerances.logits, &widen(&logits), &reference.logits("logits")?));
        trainee.add_or_retry(batch)?;
        let losses = trainee.losses().iter().map(weights::values).collect::<Result<Vec<_>>>()?.concat();
        let loss = [widen(&losses).iter().sum::<f64>() / 2.0];
        rows.push(row("loss", "x[0:2]", Kind::Relative, tolerances.loss, &loss, &reference.values("loss", &[1])?));
        let specs = || reference.network.layout.of(Role::Trained);
        let expected =
            specs().map(|spec| reference.values(&format!("grad.{}", spec.name), &spec.shape)).collect::<Result<Vec<_>>>()?;
        let floor = tolerances.floor * norm(expected.iter().flatten().copied());
        let samples = 2.0 * trainee.scale.scale();
        for ((spec, gradient), expected) in specs().zip(trainee.gradients()).zip(&expected) {
            let mean: Vec<f64> = widen(&weights::values(gradient)?).iter().map(|value| value / samples).collect();
            let mut row = row("grad", &spec.name, Kind::RelativeL2, tolerances.gradient, &mean, expected);
            let size = norm(expected.iter().copied());
            if size < floor {
                row.error *= size.max(f64::MIN_POSITIVE) / floor;
            }
            rows.push(row);
        }
        Ok(())
    }

    /// Compares a training run: its losses, and its weights and statistics at the end.
    fn train(&self, run: &Run, rows: &mut Vec<Row>) -> Result<()> {
        let (reference, tolerances) = (&self.reference, &self.tolerances);
        let (rate, loss, tolerance) = match run.rule {
            Rule::Sgd(_) => (0.05, tolerances.loss, tolerances.weights),
            Rule::Adam(_) => (1e-3, tolerances.loss_adamw, tolerances.weights_adamw),
        };
        let (network, mut optimizer) = (self.share()?, Optimizer::new(run.rule, None));
        let expected = reference.values(&format!("{}.losses", run.name), &[run.windows.len()])?;
        let (group, mut steps) = (format!("{}.losses", run.name), 0);
        for (micro_batches, expected) in run.windows.iter().zip(expected) {
            let figures = loop {
                let Some(window) = self.window(&network, micro_batches)? else { break None };
                let figures = optimizer.step(&window, rate)?;
                // A window that overflowed in float16 isn't a step; repeat it with the lower loss scale.
                if !figures.skipped {
                    break Some(figures);
                }
            };
            let Some(figures) = figures else { continue };
            steps += 1;
            rows.push(row(&group, &format!("step {steps}"), Kind::Relative, loss, &[figures.loss()], &[expected]));
        }
        let (group, mut trainee) = (format!("{}.weights", run.name), network.lock()?);
        if reference.is_tight {
            let logits = widen(&trainee.predict(&reference.samples(0..2)?)?);
            let expected = reference.logits("eval.logits")?;
            // After a run in half precision the weights differ too.
            let tolerance = if self.precision.is_half() { 1e-1 } else { tolerances.logits };
            rows.push(row("eval.logits", "x[0:2]", Kind::RelativeL2, tolerance, &logits, &expected));
        }
        for ((name, expected), actual) in reference.after(run.name)?.into_iter().zip(state(&reference.network, &trainee.state))
        {
            rows.push(row(&group, &name, Kind::Absolute, tolerance, &actual?, &expected));
        }
        Ok(())
    }

    fn window(&self, network: &Shared, micro_batches: &[Range<usize>]) -> Result<Option<Window>> {
        let mut window = None;
        for samples in micro_batches {
            let batch = self.reference.samples(samples.clone())?;
            let samples = batch.samples.clone();
            network.lock()?.add_or_retry(batch)?;
            Window::gather(&mut window, Gradients { samples, network: network.clone() });
        }
        Ok(window)
    }
}

/// The values of every tensor, in the order of the layout.
fn state(network: &Network, state: &State) -> Vec<Result<Vec<f64>>> {
    let values = |spec: &TensorSpec| match spec.role {
        Role::Trained => Ok(widen(&weights::values(&state.trained[spec.slot])?)),
        Role::Statistic => Ok(widen(&weights::values(&state.statistics[spec.slot])?)),
        Role::Counter => Ok(vec![state.counters[spec.slot] as f64]),
    };
    network.layout.specs().iter().map(values).collect()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The L2 norm.
fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

fn row(group: &str, figure: &str, kind: Kind, tolerance: f64, actual: &[f64], expected: &[f64]) -> Row {
    let pairs = || actual.iter().zip(expected).map(|(actual, expected)| (actual - expected, *expected));
    let worst = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |a: f64, b| if b.is_nan() { b } else { a.max(b) });
    let error = match kind {
        Kind::RelativeL2 => norm(pairs().map(|(d, _)| d)) / norm(pairs().map(|(_, e)| e)).max(f64::MIN_POSITIVE),
        Kind::Absolute => worst(&mut pairs().map(|(d, _)| d.abs())),
        Kind::Relative => worst(&mut pairs().map(|(d, e)| d.abs() / e.abs().max(f64::MIN_POSITIVE))),
    };
    let error = if error.is_nan() || actual.len() != expected.len() { f64::INFINITY } else { error };
    Row { group: group.into(), figure: figure.into(), error, tolerance, kind }
}
