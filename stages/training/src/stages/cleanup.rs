//! `cleanup`: gives memory that the device's allocator holds but doesn't use back, at chosen moments.
//! It changes no figure of the training.

use pipeline_contract::{ItemContext, OptionSpec, OptionType, Output, Result, Sequential, StageKind};
use serde::Deserialize;

use super::Step;
use crate::device::{self, device_memory};
use crate::trainee::Shared;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    when: Vec<Moment>,
    #[serde(default)]
    every: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Moment {
    Start,
    EpochEnd,
}

pub(super) fn kind() -> StageKind {
    StageKind::device("cleanup", "gives unused memory of the device back", |options: Options, _| {
        Ok(Cleanup { options, started: false, network: None })
    })
    .option(OptionSpec::new(
        "when",
        OptionType::list(OptionType::Choice(&["start", "epoch_end"])),
        serde_json::json!(["start", "epoch_end"]),
        "moments: after the first step (start), after the last step of an epoch (epoch_end)",
    ))
    .option(OptionSpec::optional("every", OptionType::at_least(1), "also after every so many steps"))
    .may_end()
    .example("- {id: clean, use: cleanup, with: {when: [start, epoch_end]}}")
}

struct Cleanup {
    options: Options,
    started: bool,
    network: Option<Shared>,
}

fn clean(network: &Shared) -> Result<()> {
    let device = network.lock()?.state.device().clone();
    device::synchronize(&device)?;
    let before = device_memory(&device);
    device.memory_cleanup();
    device::synchronize(&device)?;
    if let (Some((_, before)), Some((_, after))) = (before, device_memory(&device)) {
        tracing::info!("cleanup gave {} bytes back to the device", before.saturating_sub(after));
    }
    Ok(())
}

impl Sequential for Cleanup {
    type In = Step;
    type Out = Step;

    fn item(&mut self, input: Step, cx: &ItemContext<'_>, out: &mut Output<'_, Step>) -> Result<()> {
        let start = self.options.when.contains(&Moment::Start) && !self.started;
        if start || self.options.every.is_some_and(|every| input.number.is_multiple_of(every)) {
            clean(&input.network)?;
        }
        self.started = true;
        self.network = Some(input.network.clone());
        out.emit(cx.sample, input)
    }

    fn epoch_end(&mut self, _: u64, _: &mut Output<'_, Step>) -> Result<()> {
        match &self.network {
            Some(network) if self.options.when.contains(&Moment::EpochEnd) => clean(network),
            _ => Ok(()),
        }
    }
}
