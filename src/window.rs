//! A file's first window: its sources and image stages run until they have produced a window of micro-batches, and the
//! training crate compares their gradients with those of one batch.

use std::collections::HashSet;
use std::sync::Arc;

use petgraph::visit::{Dfs, Reversed};
use pipeline_contract::{NoEvents, Result, Role, StageError, lost};
use pipeline_training::verify::{Collected, WindowReport, compare};
use serde_json::{Map, Value};

use crate::engine::{self, Control, Patience, RunOptions, SkipLedger};
use crate::graph::{Stage, build};
use crate::plan;
use crate::spec::Pipeline;

/// Compares the gradients of the file's first window with those of the same samples as one batch.
///
/// # Errors
/// When the file trains nothing, a stage fails, or the device does.
pub fn verify(pipeline: &Pipeline) -> Result<WindowReport> {
    let job = plan::job(pipeline)?;
    let graph = &pipeline.graph;
    let Some(train) = graph.of_role(Role::Trainer).next() else {
        return Err(StageError::new("no stage of this file trains a network"));
    };
    let (control, collected) = (Control::new(), Collected::default());
    let enough = {
        let control = control.clone();
        move || control.drain()
    };
    let mut above = HashSet::new();
    let mut walk = Dfs::new(Reversed(&graph.dag), train);
    while let Some(node) = walk.next(Reversed(&graph.dag)) {
        above.insert(node);
    }
    let kept: Vec<_> = graph.dag.node_indices().filter(|node| above.contains(node)).collect();
    let stages = kept.iter().map(|&node| match node == train {
        false => graph.stage(node).clone(),
        true => Stage {
            kind: collected.kind(job.steps, enough.clone()),
            options: Value::Object(Map::new()),
            ..graph.stage(node).clone()
        },
    });
    let (built, problems) = build(stages.collect());
    let Some(mut built) = built else {
        let first = problems.first().map_or("", |problem| problem.message.as_str());
        return Err(StageError::new(format!("the stages before the training can't run alone: {first}")));
    };
    built.facts = kept.iter().map(|node| graph.facts[node.index()].clone()).collect();
    let options = RunOptions {
        pipeline: pipeline.id(),
        epochs: 1,
        seed: pipeline.settings.seed,
        host_memory_budget: pipeline.settings.host_memory_budget,
        out: std::env::temp_dir(),
        events: Arc::new(NoEvents),
        keeper: None,
        resume: None,
        strict: pipeline.settings.strict,
        patience: Patience::default(),
        lost: lost::told,
        skipped: Arc::new(SkipLedger::new(pipeline.settings.on_error.cap())),
    };
    engine::run(&built, options, &control).map_err(|error| StageError::new(error.to_string()))?;
    let stage = graph.stage(train);
    compare(&job, (&stage.id, &stage.options), pipeline.settings.seed, collected.take())
}
