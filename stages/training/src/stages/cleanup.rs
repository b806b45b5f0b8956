//! `cleanup`: gives back memory that the device's allocator holds but doesn't use, at chosen moments.
//! It doesn't change the training's results.

use std::sync::Arc;

use pipeline_contract::events::{CleanupEvent, CleanupMoment};
use pipeline_contract::{
    BuildContext, Events, ItemContext, OptionSpec, OptionType, Output, Result, Saved, Sequential, Shelf, StageKind,
};
use serde::Deserialize;

use super::Step;
use crate::device;
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
    StageKind::device("cleanup", "gives back unused device memory", |options: Options, cx: &BuildContext| {
        Ok(Cleanup { options, events: cx.events.clone(), started: false, network: None })
    })
    .option(
        OptionSpec::new(
            "when",
            OptionType::list(OptionType::Choice(&["start", "epoch_end"])),
            serde_json::json!(["start", "epoch_end"]),
            "moments: after the first step (start), after the last step of an epoch (epoch_end)",
        )
        .harmless(),
    )
    .option(OptionSpec::optional("every", OptionType::at_least(1), "also after every N steps").harmless())
    .may_end()
    .example("- {id: clean, use: cleanup, with: {when: [start, epoch_end]}}")
}

struct Cleanup {
    options: Options,
    events: Arc<dyn Events>,
    started: bool,
    network: Option<Shared>,
}

/// Gives back unused memory and records how much, where that can be measured: by the allocator's reserved bytes on a
/// graphics device, by the process's resident memory on the CPU.
fn clean(network: &Shared, events: &dyn Events, when: CleanupMoment) -> Result<()> {
    let device = network.lock()?.state.device().clone();
    device::synchronize(&device)?;
    let before = device::held(&device);
    device::give_back(&device)?;
    let returned = before.zip(device::held(&device)).map(|(before, after)| before.saturating_sub(after));
    events.record(CleanupEvent { when, returned_bytes: returned, held_bytes: device::held(&device) }.into());
    if let Some(bytes) = returned {
        tracing::debug!("cleanup ({when:?}) gave {bytes} bytes back");
    }
    Ok(())
}

impl Sequential for Cleanup {
    type In = Step;
    type Out = Step;

    fn item(&mut self, input: Step, cx: &ItemContext<'_>, out: &mut Output<'_, Step>) -> Result<()> {
        let start = self.options.when.contains(&Moment::Start) && !self.started;
        if start {
            clean(&input.network, &*self.events, CleanupMoment::Start)?;
        } else if self.options.every.is_some_and(|every| input.number.is_multiple_of(every)) {
            clean(&input.network, &*self.events, CleanupMoment::Every)?;
        }
        self.started = true;
        self.network = Some(input.network.clone());
        out.emit(cx.sample, input)
    }

    fn epoch_end(&mut self, _: u64, _: &mut Output<'_, Step>) -> Result<()> {
        match &self.network {
            Some(network) if self.options.when.contains(&Moment::EpochEnd) => {
                clean(network, &*self.events, CleanupMoment::EpochEnd)
            }
            _ => Ok(()),
        }
    }

    fn save(&mut self) -> Result<Saved> {
        let mut saved = Saved::default();
        saved.set("started", self.started)?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()> {
        self.started = saved.get("started")?;
        self.network = shelf.find();
        Ok(())
    }
}
