//! The training runs of a reference.

use std::ops::Range;

use crate::optimizer::{Adam, Rule, Sgd};

/// A training run of a reference: its windows, each a list of micro-batches, each a range of samples.
pub(super) struct Run {
    pub name: &'static str,
    pub windows: Vec<Vec<Range<usize>>>,
    pub rule: Rule,
}

fn sgd() -> Rule {
    Rule::Sgd(Sgd { momentum: 0.9, weight_decay: 0.01, nesterov: false })
}

fn ones(samples: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    samples.map(|sample| sample..sample + 1).collect()
}

/// One run over windows of the given samples, in micro-batches of one.
pub(super) fn windows(windows: &[Vec<usize>]) -> Vec<Run> {
    let windows = windows.iter().map(|window| ones(window.iter().copied())).collect();
    vec![Run { name: "accum", windows, rule: sgd() }]
}

/// Four runs: windows of four samples as one micro-batch each, windows in micro-batches of one, a run with a short last
/// window, and one with AdamW.
pub(super) fn four() -> Vec<Run> {
    let adamw = Rule::Adam(Adam { betas: [0.9, 0.999], eps: 1e-3, weight_decay: 0.01, decoupled: true });
    let four = |step: usize| 4 * (step % 2)..4 * (step % 2) + 4;
    let whole = (0..6).map(|step| Vec::from_iter([four(step)])).collect();
    let micro: Vec<_> = (0..6).map(|step| ones(four(step))).collect();
    vec![
        Run { name: "full", windows: whole, rule: sgd() },
        Run { name: "accum", windows: micro.clone(), rule: sgd() },
        Run { name: "tail", windows: vec![ones(0..3), ones(3..6), ones(6..7)], rule: sgd() },
        Run { name: "adamw", windows: micro, rule: adamw },
    ]
}
