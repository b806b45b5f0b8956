//! The device's memory of a prediction: the weights of all its models, and the largest pass. Nothing is run.

use pipeline_contract::{Facts, Result, StageError, fact};
use pipeline_kernels::Area;
use serde_json::Value;

use crate::backend;
use crate::device::{self, Opened, Platform};
use crate::memory::{Cause, Ledger, Snapshot, Tried};
use crate::network::Network;
use crate::parameters::Role;
use crate::pass::{Executor, Images, Pass};
use crate::precision::Precision;
use crate::stages::Predicting;

/// The device memory that a prediction takes.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// What is held at the peak, and where in a network the peak is.
    pub peak: Snapshot,
    /// The device, opened.
    pub device: Opened,
}

/// Plans a stage that predicts with trained models, from its options and what is known of its images.
///
/// # Errors
/// When a model can't be read, the images' size isn't known or doesn't fit, or the device can't be opened.
pub fn prediction(options: &Value, images: &Facts) -> Result<Prediction> {
    let Predicting { networks, precision, device, tile } = Predicting::read(options)?;
    let device = device::open(&device)?;
    let known = |name| images.integer(name).and_then(|value| usize::try_from(value).ok());
    let seen = tile.or_else(|| Some((known(fact::BATCH)?, known(fact::HEIGHT)?, known(fact::WIDTH)?)));
    let seen = seen.ok_or_else(|| {
        StageError::new("the size of the images isn't known before they are read").help("predict in tiles, or resize")
    })?;
    let peak = walk(&networks, seen, precision, Platform::of(&device.device))?;
    Ok(Prediction { peak, device })
}

fn walk(
    networks: &[Network],
    (batch, height, width): (usize, usize, usize),
    precision: Precision,
    platform: Platform,
) -> Tried<Snapshot> {
    let ledger = Ledger::default();
    let mut held = Vec::new();
    for network in networks {
        network.accepts(batch, height, width)?;
        let values = |role| network.layout.of(role).filter_map(|spec| spec.elements()).sum::<usize>() as u64;
        held.push(ledger.charge(Cause::Weights, 4 * (values(Role::Trained) + values(Role::Statistic)))?);
    }
    for network in networks {
        let mut e = Executor::new(backend::counting(platform, precision), ledger.clone());
        let images = e.images(Images::Planes(&[]), Area { batch, height, width })?;
        network.predict(&mut e, images, Pass::Evaluate)?;
    }
    Ok(ledger.peak())
}
