//! `accumulate`: gathers micro-batches into windows, one optimizer step each. The last window of an epoch may be shorter. It
//! only sums; the optimizer takes the mean over the window's samples.

use std::sync::Arc;

use pipeline_contract::{
    Checked, End, Facts, Finding, ItemContext, OptionSpec, OptionType, Output, Place, Result, Saved, Sequential, Shelf,
    StageKind, fact,
};
use serde::Deserialize;

use super::train_step::ALTERNATIVE;
use crate::window::{Gradients, Window};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    steps: usize,
}

pub(super) fn kind() -> StageKind {
    StageKind::device(
        "accumulate",
        "gathers micro-batches into one window, whose gradient is the mean over its samples",
        |o: Options, _| Ok(Accumulate { steps: o.steps, window: None }),
    )
    .option(OptionSpec::new(
        "steps",
        OptionType::Integer { min: 1, max: 1 << 20 },
        1,
        "micro-batches per optimizer step; the last window of an epoch holds what is left",
    ))
    .check(check)
    .example("- {id: accum, use: accumulate, with: {steps: 4}}")
}

/// Accumulation is equivalent to a large batch except for batch norm, whose presence `train_step` reports as a fact. For
/// batches of one image `train_step` itself gives the warning.
fn check(options: &Options, inputs: &[Facts]) -> Checked {
    let mut facts = inputs.first().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    if let (true, Some(_), Some(batch @ 2..)) = (options.steps > 1, facts.integer(fact::BATCH_NORM), facts.integer(fact::BATCH))
    {
        let message = format!(
            "batch norm sees the {batch} images of a micro-batch, not the {} of a window: accumulation isn't equivalent to the large batch",
            batch.saturating_mul(options.steps as u64)
        );
        let place = Place::Fact { input: 0, name: fact::BATCH_NORM.into() };
        findings.push(Finding::warning(place, message).help(ALTERNATIVE));
    }
    facts.set(fact::ACCUMULATION, options.steps as u64, "steps");
    Checked { facts, findings }
}

struct Accumulate {
    steps: usize,
    window: Option<Window>,
}

impl Accumulate {
    fn emit(&mut self, out: &mut Output<'_, Window>) -> Result<()> {
        match self.window.take() {
            Some(window) => out.emit(window.samples.join(","), window),
            None => Ok(()),
        }
    }
}

impl Sequential for Accumulate {
    type In = Gradients;
    type Out = Window;

    fn item(&mut self, input: Gradients, _: &ItemContext<'_>, out: &mut Output<'_, Window>) -> Result<()> {
        Window::gather(&mut self.window, input);
        if self.window.as_ref().is_some_and(|window| window.micro_batches >= self.steps) { self.emit(out) } else { Ok(()) }
    }

    fn epoch_end(&mut self, _: u64, out: &mut Output<'_, Window>) -> Result<()> {
        self.emit(out)
    }

    /// An interrupted run drops its partial window, so weights change only between whole windows; batch norm's statistics
    /// from that window are discarded too.
    fn finish(&mut self, _: End) -> Result<()> {
        match self.window.take() {
            Some(window) => window.network.lock()?.forget(),
            None => Ok(()),
        }
    }

    fn save(&mut self) -> Result<Saved> {
        let mut saved = Saved::default();
        let samples: &[Arc<str>] = self.window.as_ref().map_or(&[], |window| &window.samples);
        saved.set(fact::SAMPLES, samples.iter().map(|sample| &**sample).collect::<Vec<_>>())?;
        saved.set("micro_batches", self.window.as_ref().map_or(0, |window| window.micro_batches))?;
        Ok(saved)
    }

    fn restore(&mut self, saved: Saved, shelf: &mut Shelf) -> Result<()> {
        let (samples, micro_batches) = (saved.get::<Vec<String>>("samples")?, saved.count("micro_batches")? as usize);
        if let (1.., Some(network)) = (micro_batches, shelf.find()) {
            let samples = samples.into_iter().map(Into::into).collect();
            self.window = Some(Window { samples, micro_batches, network });
        }
        Ok(())
    }
}
