//! Measures how fast a device runs networks of this kind, with passes of small ones, so that time estimates apply to the
//! actual device.

use std::time::Instant;

use pipeline_contract::{Result, stage_rng};

use crate::device::Opened;
use crate::forecast::{Demand, forecast};
use crate::loss::Loss;
use crate::memory::Ledger;
use crate::micro_batch::{MicroBatch, Pixels};
use crate::networks::UNetConfig;
use crate::parameters::State;
use crate::pass::Work;
use crate::policy::Setting;
use crate::precision::Precision;
use crate::trainee::Trainee;

/// How fast a device works: seconds per unit of each kind of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Seconds per floating-point operation of convolutions.
    pub flop: f64,
    /// Seconds per value of a map that is read or written.
    pub value: f64,
    /// Seconds per operation, whatever its size.
    pub operation: f64,
}

impl Speed {
    /// The estimated seconds for some work.
    pub fn seconds(&self, work: Work) -> f64 {
        work.flops * self.flop + work.values * self.value + work.operations as f64 * self.operation
    }
}

/// The networks that are timed, as (base, depth, image size): one with many channels on small images (convolutions), one
/// with few channels on large images (memory traffic), and a tiny one (the fixed cost of an operation).
const PROBES: [(usize, usize, usize); 3] = [(48, 2, 96), (4, 2, 320), (2, 3, 8)];

/// Measures a device's speed in a precision, with a few passes of small networks; takes well under a second on a CPU.
///
/// # Errors
/// What the device reports.
pub fn calibrate(opened: &Opened, precision: Precision) -> Result<Speed> {
    let [heavy, wide, tiny] = PROBES.map(|probe| time(opened, precision, probe));
    let ((work1, time1), (work2, time2), (work3, time3)) = (heavy?, wide?, tiny?);
    // Give the graphics memory that the probes used back to the run.
    crate::device::give_back(&opened.device)?;
    let operation = time3 / work3.operations.max(1) as f64;
    // Two equations, two unknowns.
    let rest = |time: f64, work: Work| (time - operation * work.operations as f64).max(time * 0.05);
    let (time1, time2) = (rest(time1, work1), rest(time2, work2));
    let determinant = work1.flops * work2.values - work2.flops * work1.values;
    let flop = (time1 * work2.values - time2 * work1.values) / determinant;
    let value = (work1.flops * time2 - work2.flops * time1) / determinant;
    // If noise makes one of the two negative, set it to zero and let the other explain its probe alone.
    Ok(if flop <= 0.0 {
        Speed { flop: 0.0, value: time2 / work2.values, operation }
    } else if value <= 0.0 {
        Speed { flop: time1 / work1.flops, value: 0.0, operation }
    } else {
        Speed { flop, value, operation }
    })
}

fn time(opened: &Opened, precision: Precision, (base, depth, size): (usize, usize, usize)) -> Result<(Work, f64)> {
    let network = UNetConfig::new(base, depth, "group")?.network();
    let state = State::fresh(&network.layout, &opened.device, |name| stage_rng(0, 0, name, "calibration"))?;
    let setting = Setting { precision, ..Setting::default() };
    let demand = Demand {
        network: &network,
        micro_batch: (1, size, size),
        setting,
        optimizer: 0,
        average: false,
        evaluation: None,
        loss: &Loss::default(),
        platform: crate::device::Platform::of(&opened.device),
    };
    let work = forecast(&demand)?.work;
    let mut trainee = Trainee::new(network, state, Loss::default(), setting, Ledger::default())?;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let batch = MicroBatch {
            samples: vec!["calibration".into()],
            height: size,
            width: size,
            pixels: Pixels::Floats(vec![0.5; 3 * size * size]),
            masks: vec![0; size * size],
        };
        let started = Instant::now();
        trainee.add_or_retry(batch)?;
        crate::device::synchronize(&opened.device)?;
        best = best.min(started.elapsed().as_secs_f64());
        trainee.close()?;
    }
    Ok((work, best))
}
