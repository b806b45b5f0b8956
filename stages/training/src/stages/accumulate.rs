//! `accumulate`: gathers micro-batches into windows, one optimizer step each. The last window of an epoch may be shorter.
//! It only sums; the mean over the window's samples is the optimizer's.

use pipeline_contract::{Checked, Facts, ItemContext, OptionSpec, OptionType, Output, Result, Sequential, StageKind};
use serde::Deserialize;

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
        OptionType::at_least(1),
        1,
        "micro-batches per optimizer step; the last window of an epoch holds what is left",
    ))
    .check(|options: &Options, inputs: &[Facts]| {
        let mut facts = inputs.first().cloned().unwrap_or_default();
        facts.set("accumulation", options.steps as u64, "steps");
        Checked::facts(facts)
    })
    .example("- {id: accum, use: accumulate, with: {steps: 4}}")
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

    // No `finish`: an interrupted run drops its partial window, so weights change only between whole windows.
}
