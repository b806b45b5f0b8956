//! Picks the next setting when the device has refused memory: the one with the least work among those that need less than
//! was refused. The precision and the window's samples stay the same; only checkpointing and the number of samples per pass
//! change.

use super::{Demand, Forecast, forecast};
use crate::memory::OutOfMemory;
use crate::network::Checkpointing;
use crate::policy::Setting;

/// The next setting after a refusal, with its forecast; `None` if there is no smaller one.
pub(crate) fn next(demand: &Demand<'_>, short: &OutOfMemory) -> Option<(Setting, Forecast)> {
    let now = forecast(demand).ok()?.peak.total;
    let samples = demand.micro_batch.0.min(demand.setting.samples.max(1));
    // Batch norm's statistics come from the samples that pass together, so splitting the micro-batch would change the
    // training.
    let fewest = if demand.network.depends_on_batch() { samples } else { 1 };
    let mut smaller = Vec::new();
    for checkpointing in Checkpointing::ALL {
        let mut part = samples;
        while part >= fewest {
            // A micro-batch that isn't split keeps the old limit: later ones may be larger than those of this window.
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
        // Memory was refused early in the pass, or by a test: go one step down.
        smaller.into_iter().max_by_key(|(_, forecast)| forecast.peak.total)
    }
}
