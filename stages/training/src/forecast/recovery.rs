//! Which setting comes next when the device refused memory: the least work that needs less than what was refused.
//! The precision stays, and the samples of the window stay; only how they are worked off changes.

use super::{Demand, Forecast, forecast};
use crate::memory::OutOfMemory;
use crate::network::Checkpointing;
use crate::policy::Setting;

/// The next setting after a refusal, with its forecast; `None` below the smallest.
pub(crate) fn next(demand: &Demand<'_>, short: &OutOfMemory) -> Option<(Setting, Forecast)> {
    let now = forecast(demand).ok()?.peak.total;
    let samples = demand.micro_batch.0.min(demand.setting.samples.max(1));
    // Batch norm's statistics are those of what passes together: parts would be another training.
    let fewest = if demand.network.depends_on_batch() { samples } else { 1 };
    let mut smaller = Vec::new();
    for checkpointing in Checkpointing::ALL {
        let mut part = samples;
        while part >= fewest {
            // Uncut stays uncut: later micro-batches may be larger than those of this window.
            let most = if part == samples { demand.setting.samples } else { part };
            let setting = Setting { checkpointing, samples: most, ..demand.setting };
            if let Ok(forecast) = forecast(&Demand { setting, ..*demand })
                && forecast.peak.total < now
            {
                smaller.push((setting, forecast));
            }
            if part == 1 {
                break;
            }
            part /= 2;
        }
    }
    let fits = |forecast: &Forecast| forecast.peak.total <= short.held;
    if smaller.iter().any(|(_, forecast)| fits(forecast)) {
        smaller.retain(|(_, forecast)| fits(forecast));
        smaller.into_iter().min_by(|(_, a), (_, b)| a.work.flops.total_cmp(&b.work.flops).then(b.peak.total.cmp(&a.peak.total)))
    } else {
        // It was refused early, or by a test: one step down.
        smaller.into_iter().max_by_key(|(_, forecast)| forecast.peak.total)
    }
}
