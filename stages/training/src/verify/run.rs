//! The comparison itself: runs what a reference holds through the stages' own code and measures the differences.
//! Opening the file is `reference`'s, the table `report`'s.

use std::ops::Range;
use std::path::Path;

use burn::tensor::Device;
use pipeline_contract::Result;

use super::reference::Reference;
use super::report::{Kind, Report, Row};
use crate::device;
use crate::loss::Loss;
use crate::memory::Ledger;
use crate::network::{Role, State};
use crate::optimizer::{Adam, Optimizer, Rule, Sgd};
use crate::policy::Setting;
use crate::trainee::{Shared, Trainee};
use crate::weights;
use crate::window::{Gradients, Window};

/// What the float32 figures may differ by from PyTorch's in float64.
const GRADIENT: f64 = 1e-4;
/// A tensor's gradient that is smaller than this share of the whole gradient is measured against that share: where a norm
/// cancels a scale (one channel, say) the exact gradient is almost zero and float32 leaves only rounding of it.
const FLOOR: f64 = 1e-4;
const LOSS: f64 = 1e-5;
/// AdamW divides by roots of small means, which magnifies rounding.
const LOSS_ADAMW: f64 = 1e-4;
const WEIGHTS: f64 = 1e-4;
const WEIGHTS_ADAMW: f64 = 5e-4;

/// One of the four training runs of a reference: its windows, each a list of micro-batches, each a range of samples.
struct Run {
    name: &'static str,
    windows: Vec<Vec<Range<usize>>>,
    rule: Rule,
}

/// The runs of `make_fixtures.py`.
fn runs() -> [Run; 4] {
    let sgd = Rule::Sgd(Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: false });
    let adamw = Rule::Adam(Adam { betas: [0.9, 0.999], eps: 1e-3, weight_decay: 0.01, decoupled: true });
    let four = |step: usize| 4 * (step % 2)..4 * (step % 2) + 4;
    let whole = (0..6).map(|step| Vec::from_iter([four(step)])).collect();
    let ones = |range: Range<usize>| range.map(|sample| sample..sample + 1).collect::<Vec<_>>();
    let micro: Vec<_> = (0..6).map(|step| ones(four(step))).collect();
    [
        Run { name: "full", windows: whole, rule: sgd },
        Run { name: "accum", windows: micro.clone(), rule: sgd },
        Run { name: "tail", windows: vec![ones(0..3), ones(3..6), ones(6..7)], rule: sgd },
        Run { name: "adamw", windows: micro, rule: adamw },
    ]
}

/// The largest reference that is read, in bytes. A reference is a small network's.
const LARGEST: u64 = 1 << 30;

/// Compares this build on the device of a name with the reference file at `path`.
///
/// # Errors
/// When the file can't be read or is no reference, or the device can't be had. Differences are no error: see [`Report::ok`].
pub fn verify(path: &Path, device: &str) -> Result<Report> {
    let bytes = weights::read_file(path, LARGEST)?;
    verify_bytes(&bytes, device).map_err(|error| error.context(path.display()))
}

/// As [`verify`], with the bytes of a reference file.
///
/// # Errors
/// As those of [`verify`].
pub fn verify_bytes(bytes: &[u8], device: &str) -> Result<Report> {
    let opened = device::open(device)?;
    compare(bytes, &opened.device, &opened.description)
}

fn compare(bytes: &[u8], device: &Device, description: &str) -> Result<Report> {
    let reference = Reference::open(bytes)?;
    let mut rows = Vec::new();
    pass(&reference, device, &mut rows)?;
    for run in runs() {
        train(&reference, &run, device, &mut rows)?;
    }
    Ok(Report { about: format!("{}, against PyTorch, on {description}", reference.about()), rows })
}

fn share(reference: &Reference<'_>, device: &Device) -> Result<Shared> {
    let state = reference.start(device)?;
    let network = reference.network.clone();
    Ok(Shared::new(Trainee::new(network, state, Loss::BceDice, Setting::default(), Ledger::default())?))
}

/// Logits, loss and gradients of the first two samples.
fn pass(reference: &Reference<'_>, device: &Device, rows: &mut Vec<Row>) -> Result<()> {
    let (network, batch) = (share(reference, device)?, reference.samples(0..2)?);
    let mut trainee = network.lock()?;
    let logits = trainee.logits(&batch)?;
    rows.push(row("logits", "x[0:2]", Kind::RelativeL2, GRADIENT, &widen(&logits), &reference.logits()?));
    trainee.add_or_retry(batch)?;
    let losses = trainee.losses().iter().map(weights::values).collect::<Result<Vec<_>>>()?.concat();
    let loss = [widen(&losses).iter().sum::<f64>() / 2.0];
    rows.push(row("loss", "x[0:2]", Kind::Relative, LOSS, &loss, &reference.values("loss", &[1])?));
    let specs = || reference.network.layout().of(Role::Trained);
    let expected =
        specs().map(|spec| reference.values(&format!("grad.{}", spec.name), &spec.shape)).collect::<Result<Vec<_>>>()?;
    let floor = FLOOR * norm(expected.iter().flatten().copied());
    for ((spec, gradient), expected) in specs().zip(trainee.gradients()).zip(&expected) {
        let mean: Vec<f64> = widen(&weights::values(gradient)?).iter().map(|value| value / 2.0).collect();
        let mut row = row("grad", &spec.name, Kind::RelativeL2, GRADIENT, &mean, expected);
        let size = norm(expected.iter().copied());
        if size < floor {
            row.error *= size.max(f64::MIN_POSITIVE) / floor;
        }
        rows.push(row);
    }
    Ok(())
}

/// A training run: its losses, and its weights and statistics at the end.
fn train(reference: &Reference<'_>, run: &Run, device: &Device, rows: &mut Vec<Row>) -> Result<()> {
    let (rate, loss, tolerance) = match run.rule {
        Rule::Sgd(_) => (0.05, LOSS, WEIGHTS),
        Rule::Adam(_) => (1e-3, LOSS_ADAMW, WEIGHTS_ADAMW),
    };
    let (network, mut optimizer) = (share(reference, device)?, Optimizer::new(run.rule, None));
    let expected = reference.values(&format!("{}.losses", run.name), &[run.windows.len()])?;
    let (group, mut steps) = (format!("{}.losses", run.name), 0);
    for (micro_batches, expected) in run.windows.iter().zip(expected) {
        let mut window: Option<Window> = None;
        for samples in micro_batches {
            let batch = reference.samples(samples.clone())?;
            let samples = batch.samples.clone();
            network.lock()?.add_or_retry(batch)?;
            Window::gather(&mut window, Gradients { samples, network: network.clone() });
        }
        let Some(window) = window else { continue };
        let figures = optimizer.step(&window, rate)?;
        steps += 1;
        rows.push(row(&group, &format!("step {steps}"), Kind::Relative, loss, &[figures.loss()], &[expected]));
    }
    let (group, trainee) = (format!("{}.weights", run.name), network.lock()?);
    for ((name, expected), actual) in reference.after(run.name)?.into_iter().zip(state(&reference.network, &trainee.state)) {
        rows.push(row(&group, &name, Kind::Absolute, tolerance, &actual?, &expected));
    }
    Ok(())
}

/// Every tensor's values, in the order of the layout.
fn state(network: &crate::network::UNet, state: &State) -> Vec<Result<Vec<f64>>> {
    let values = |spec: &crate::network::TensorSpec| match spec.role {
        Role::Trained => Ok(widen(&weights::values(&state.trained[spec.slot])?)),
        Role::Statistic => Ok(widen(&weights::values(&state.statistics[spec.slot])?)),
        Role::Counter => Ok(vec![state.counters[spec.slot] as f64]),
    };
    network.layout().specs().iter().map(values).collect()
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
