//! Builds the stages of a graph, each on the thread that calls: stages stay where they are built.

use std::sync::Arc;

use petgraph::graph::NodeIndex;
use pipeline_contract::{BuildContext, ErasedSequential, ErasedSource, Running, Settled, StageError};

use super::call::call;
use super::control::{Control, RunError};
use super::options::RunOptions;
use super::samples::Samples;
use super::upstream::{before, sources_of_first_input};
use super::workers::Work;
use crate::graph::{Graph, Stage};

/// What stages are built from. Clones share it.
#[derive(Clone)]
pub struct StageBuilder {
    pub graph: Arc<Graph>,
    pub options: Arc<RunOptions>,
    pub samples: Samples,
    pub settled: Settled,
    pub control: Control,
}

impl StageBuilder {
    /// Builds a source.
    ///
    /// # Errors
    /// When the stage can't be built; the run is ending then.
    pub fn source(&self, node: NodeIndex) -> Result<Box<dyn ErasedSource>, RunError> {
        match self.build(node)? {
            Running::Source(source) => Ok(source),
            other => Err(self.wrong_kind(node, &other)),
        }
    }

    /// Builds a stateless stage.
    ///
    /// # Errors
    /// As [`Self::source`].
    pub fn stateless(&self, node: NodeIndex) -> Result<Work, RunError> {
        let stage = self.graph.stage(node);
        match self.build(node)? {
            Running::Map(map) => Ok(Work::Map(map)),
            Running::Cache(cache) => Ok(Work::Cache(cache)),
            Running::FlatMap(map) => Ok(Work::FlatMap(map, stage.kind.pieces(&stage.options))),
            other => Err(self.wrong_kind(node, &other)),
        }
    }

    /// Builds a stage that sees its items in order.
    ///
    /// # Errors
    /// As [`Self::source`].
    pub fn sequential(&self, node: NodeIndex) -> Result<Box<dyn ErasedSequential>, RunError> {
        match self.build(node)? {
            Running::Sequential(stage) => Ok(stage),
            other => Err(self.wrong_kind(node, &other)),
        }
    }

    /// The stages of a stage's role, in the order of the file.
    fn peers(&self, stage: &Stage) -> Vec<String> {
        let Some(role) = stage.kind.role else { return Vec::new() };
        let mut nodes: Vec<NodeIndex> = self.graph.of_role(role).collect();
        nodes.sort_unstable();
        nodes.into_iter().map(|node| self.graph.stage(node).id.clone()).collect()
    }

    fn build(&self, node: NodeIndex) -> Result<Running, RunError> {
        let (stage, options) = (self.graph.stage(node), &self.options);
        let cx = BuildContext {
            stage: stage.id.clone(),
            peers: self.peers(stage),
            pipeline: options.pipeline.clone(),
            seed: options.seed,
            epochs: options.epochs,
            before: before(&self.graph, node),
            facts: self.graph.facts[node.index()].clone(),
            settled: self.settled.of(&stage.id),
            samples: self.samples.counts.of(sources_of_first_input(&self.graph, node)),
            skips_broken: options.skipped.skips(),
            strict: options.strict,
            out: options.out.clone(),
            events: options.events.clone(),
        };
        self.control.check(call(&stage.id, None, || stage.kind.build(stage.options.clone(), &cx)))
    }

    /// A kind whose fields were changed by hand so that lane and stage disagree.
    fn wrong_kind(&self, node: NodeIndex, built: &Running) -> RunError {
        let stage = self.graph.stage(node);
        let cause = StageError::new(format!(
            "kind `{}` declares the lane {:?} but built a {built:?}",
            stage.kind.name, stage.kind.lane
        ));
        RunError { stage: stage.id.clone(), sample: None, cause, panicked: false }
    }
}
