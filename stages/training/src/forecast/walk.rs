//! Computes the device memory and the work of one setting from the network's structure and the policies alone.

use pipeline_contract::{Result, StageError};
use pipeline_kernels::Area;

use crate::backend;
use crate::device::Platform;
use crate::loss::{Loss, Target};
use crate::memory::{Cause, Charge, Ledger, Snapshot, Tried};
use crate::network::Network;
use crate::parameters::Role;
use crate::pass::{Executor, Images, Pass, Work};
use crate::policy::Setting;

/// The training to forecast.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The network.
    pub network: &'a Network,
    /// The micro-batch: number of samples, height and width in pixels.
    pub micro_batch: (usize, usize, usize),
    /// The policies that passes run under.
    pub setting: Setting,
    /// float32 values that the optimizer keeps for each weight.
    pub optimizer: u64,
    /// True if a moving average of the weights is kept.
    pub average: bool,
    /// The same three numbers for the test images, if there are any.
    pub evaluation: Option<(usize, usize, usize)>,
    /// The loss that the network is trained with.
    pub loss: &'a Loss,
    /// The platform that it runs on.
    pub platform: Platform,
}

/// The memory and work of a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// The memory held at the peak, and where in the network the peak is.
    pub peak: Snapshot,
    /// The work of one micro-batch.
    pub work: Work,
    /// Bytes of the largest map, which must fit a graphics device's largest buffer.
    pub largest: u64,
}

fn area((batch, height, width): (usize, usize, usize)) -> Area {
    Area { batch, height, width }
}

/// Walks a training pass and, where there are test images, an evaluation pass.
///
/// # Errors
/// When the images don't fit the network.
pub fn forecast(demand: &Demand<'_>) -> Result<Forecast> {
    walk(demand).map_err(Into::into)
}

fn walk(demand: &Demand<'_>) -> Tried<Forecast> {
    let Demand { network, micro_batch, setting, evaluation, loss, platform, .. } = *demand;
    let (samples, height, width) = micro_batch;
    network.accepts(samples, height, width)?;
    let ledger = Ledger::default();
    let _held = held(demand, &ledger)?;
    let executor = || Executor::new(backend::counting(platform, setting.precision), ledger.clone());
    let most = setting.samples.max(1);
    let mut work = Work::default();
    // Parts of the same size cost the same memory, but each its own work.
    for start in (0..samples).step_by(most) {
        let mut e = executor();
        let images_area = area((most.min(samples - start), height, width));
        let images = e.images(Images::Planes(&[]), images_area)?;
        network.train(&mut e, images, Target { labels: &[], area: images_area }, (loss, 1.0), setting.checkpointing)?;
        work += e.work();
    }
    if let Some((samples, height, width)) = evaluation {
        predict(demand, &ledger, (most.min(samples), height, width))?;
    }
    Ok(Forecast { peak: ledger.peak(), work, largest: ledger.largest() })
}

/// Walks an evaluation pass alone, with what a training holds beside it: its peak, its work, its largest map.
///
/// # Errors
/// When there is nothing to evaluate, or the images don't fit the network.
pub fn evaluation(demand: &Demand<'_>) -> Result<Forecast> {
    let ledger = Ledger::default();
    let images = demand.evaluation.ok_or_else(|| StageError::new("there are no test images to plan an evaluation of"))?;
    let walked = held(demand, &ledger).and_then(|_held| predict(demand, &ledger, images));
    walked.map(|work| Forecast { peak: ledger.peak(), work, largest: ledger.largest() }).map_err(Into::into)
}

/// What a training holds between two passes.
fn held(demand: &Demand<'_>, ledger: &Ledger) -> Tried<Vec<Charge>> {
    let layout = &demand.network.layout;
    let values = |role| layout.of(role).filter_map(|spec| spec.elements()).sum::<usize>() as u64;
    let trained = values(Role::Trained);
    let held = [
        (Cause::Weights, trained + values(Role::Statistic)),
        (Cause::Gradients, trained),
        (Cause::Optimizer, trained * demand.optimizer),
        (Cause::Average, trained * u64::from(demand.average)),
    ];
    held.map(|(cause, values)| ledger.charge(cause, 4 * values)).into_iter().collect()
}

/// An evaluation pass over images of `(samples, height, width)`: its work.
fn predict(demand: &Demand<'_>, ledger: &Ledger, images: (usize, usize, usize)) -> Tried<Work> {
    let (samples, height, width) = images;
    demand.network.accepts(samples, height, width)?;
    let mut e = Executor::new(backend::counting(demand.platform, demand.setting.precision), ledger.clone());
    let images = e.images(Images::Planes(&[]), area(images))?;
    demand.network.predict(&mut e, images, Pass::Evaluate)?;
    Ok(e.work())
}
