//! What a file's network will see: the stages up to one of them run on a few samples of some epochs, and become a contact sheet. No device is touched and
//! no network is built. The stage kind `preview` writes a sheet during a run instead.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use petgraph::graph::NodeIndex;
use pipeline_contract::{
    BuildContext, ErasedFlatMap, ErasedMap, ErasedSource, Event, Events, Item, ItemContext, PortType, Result, Role, Running,
    SampleCount, StageError,
};
use pipeline_images::{Classes, ImagePair, contact_sheet, thumbnail, thumbnail_side};
use rayon::prelude::*;

use crate::engine::{RunError, call};
use crate::graph::Graph;
use crate::run::Warned;
use crate::spec::Pipeline;

/// Rows of a sheet at most, so that its thumbnails can be seen.
pub const MOST_SAMPLES: u64 = 64;
/// Epochs of a sheet at most.
pub const MOST_EPOCHS: u64 = 16;

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// How many samples, from the first of the first epoch shown on; 1 to [`MOST_SAMPLES`].
    pub samples: u64,
    /// The first epoch, from 0.
    pub first_epoch: u64,
    /// How many epochs; 1 to [`MOST_EPOCHS`].
    pub epochs: u64,
}

/// A contact sheet and what is on it.
#[derive(Debug)]
pub struct Preview {
    /// The sheet.
    pub picture: RgbImage,
    /// How many samples are shown.
    pub samples: usize,
    /// Why samples are not shown, where the file skips broken ones.
    pub broken: Vec<String>,
}

/// The stage whose pairs are shown: the one of this id, or without an id the last one that makes pairs for the training; where nothing is trained, for the
/// end of the file.
///
/// # Errors
/// When there is no such stage, or what it makes is no image. Both name the stages that can be shown.
pub fn shown_stage(graph: &Graph, id: Option<&str>) -> Result<NodeIndex> {
    let pairs = |node: &NodeIndex| graph.stage(*node).kind.output == Some(PortType::of::<ImagePair>());
    let can: Vec<&str> = graph.order.iter().filter(|node| pairs(node)).map(|&node| graph.stage(node).id.as_str()).collect();
    let help = match can.is_empty() {
        true => "no stage of this file makes images".to_owned(),
        false => format!("these can be shown: {}", can.join(", ")),
    };
    let Some(id) = id else {
        let above = graph.of_role(Role::Trainer).next().map(|train| nearest_first(graph, train));
        let found = match above {
            Some(above) => above.into_iter().find(pairs),
            None => graph.order.iter().copied().rev().find(pairs),
        };
        return found
            .ok_or_else(|| StageError::new("no stage before the training makes images that could be shown").help(help));
    };
    match graph.node(id) {
        Some(node) if pairs(&node) => Ok(node),
        Some(node) => {
            let made = graph.stage(node).kind.output.map_or_else(|| "nothing".to_owned(), |output| output.name().to_owned());
            Err(StageError::new(format!("stage `{id}` makes {made}, not image pairs")).help(help))
        }
        None => Err(StageError::new(format!("there is no stage `{id}`")).help(help)),
    }
}

/// The stages above a node, those that are fewer edges away first.
fn nearest_first(graph: &Graph, node: NodeIndex) -> Vec<NodeIndex> {
    let (mut found, mut waiting) = (Vec::new(), VecDeque::from([node]));
    while let Some(node) = waiting.pop_front() {
        for port in 0..graph.stage(node).kind.inputs.len() {
            if let Some(above) = graph.into_port(node, port).filter(|above| !found.contains(above)) {
                found.push(above);
                waiting.push_back(above);
            }
        }
    }
    found
}

/// Runs the stages from the source down to `node` on the first samples of an epoch, in each epoch that is wanted, and draws the sheet: a row for each sample, a
/// column for each epoch, and before them the pair as it was decoded. A sample is in each epoch what a run makes of it there.
///
/// # Errors
/// When a stage fails, unless the file skips broken samples; when the stages aren't a chain of stages without state; and when there are no samples.
pub fn preview(pipeline: &Pipeline, node: NodeIndex, wanted: &Wanted) -> Result<Preview> {
    let told = Arc::new(Told::default());
    let (chain, mut broken) = Chain::build(pipeline, node, wanted, &told)?;
    let mut rows = Vec::new();
    let outcomes: Vec<_> = chain.samples.par_iter().map(|sample| chain.rows(sample)).collect();
    for outcome in outcomes {
        match outcome {
            Ok(more) => rows.extend(more),
            Err(error) if pipeline.settings.on_error.cap().is_some() => broken.push(error.to_string()),
            Err(error) => return Err(failure(error)),
        }
    }
    told.0.lock().unwrap_or_else(PoisonError::into_inner).tell();
    rows.truncate(wanted.samples as usize);
    if rows.is_empty() {
        let why = if broken.is_empty() { "the source gives none" } else { "all that were tried are broken" };
        return Err(StageError::new(format!("there are no samples to show: {why}")));
    }
    let epochs = (wanted.first_epoch..).take(wanted.epochs as usize).map(|epoch| format!("epoch {}", epoch + 1));
    let titles: Vec<String> = chain.before.iter().map(|_| "before".to_owned()).chain(epochs).collect();
    Ok(Preview { picture: contact_sheet(&titles, &rows, chain.classes.as_ref()), samples: rows.len(), broken })
}

fn failure(error: RunError) -> StageError {
    let shown = StageError::new(error.to_string());
    match error.cause.mend() {
        Some(mend) => shown.help(mend),
        None => shown,
    }
}

/// Says what stages find doubtful in their data.
#[derive(Default)]
struct Told(Mutex<Warned>);

impl Events for Told {
    fn record(&self, event: Event) {
        if let Event::Warning(warning) = &event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).see(warning);
        }
    }

    fn summarize(&self, _: &str, _: serde_json::Value) {}
}

/// A row of the sheet: a sample's name and its thumbnails.
type Row = (String, Vec<RgbImage>);

/// A stage without state.
enum Stateless {
    Map(Arc<dyn ErasedMap>),
    FlatMap(Arc<dyn ErasedFlatMap>),
}

/// The stages from a source to the one that is shown, and the samples that go through them.
struct Chain<'a> {
    seed: u64,
    /// The ids of the stages after the source, and what they do.
    stages: Vec<(&'a str, Stateless)>,
    /// Which of them is the first to make pairs, unless that is what is shown.
    before: Option<usize>,
    /// The samples as the source gives them.
    samples: Vec<Item>,
    first_epoch: u64,
    epochs: u64,
    classes: Option<Classes>,
    /// Rows at most: of a sample that is cut into more pieces, the others are dropped before anything more is made of them.
    rows: usize,
    /// Of a thumbnail, in pixels.
    side: usize,
}

impl<'a> Chain<'a> {
    /// The chain, and what its source found broken.
    fn build(pipeline: &'a Pipeline, node: NodeIndex, wanted: &Wanted, told: &Arc<Told>) -> Result<(Self, Vec<String>)> {
        let graph = &pipeline.graph;
        let nodes = down_to(graph, node);
        let (counts, mut stages, mut source) = (SampleCount::default(), Vec::new(), None);
        for &node in &nodes {
            let stage = graph.stage(node);
            // What a cache gives is what the stages before it make, and a sheet leaves nothing in it.
            if stage.kind.caches.is_some() {
                continue;
            }
            let cx = BuildContext { events: told.clone(), ..context(pipeline, node, &counts) };
            let built = call(&stage.id, None, || stage.kind.build(stage.options.clone(), &cx));
            match built.map_err(failure)? {
                Running::Source(built) => source = Some((stage.id.as_str(), built)),
                Running::Map(map) => stages.push((stage.id.as_str(), Stateless::Map(map))),
                Running::FlatMap(map) => stages.push((stage.id.as_str(), Stateless::FlatMap(map))),
                Running::Cache(_) | Running::Sequential(_) => {
                    let message = format!("stage `{}` keeps state from sample to sample, so it can't run by itself", stage.id);
                    return Err(StageError::new(message).help("show a stage before it: --stage"));
                }
            }
        }
        let Some((id, mut source)) = source else { return Err(StageError::new("no source leads to this stage")) };
        let of_kind = |&node: &NodeIndex| graph.stage(node).kind.pieces(&graph.stage(node).options);
        let pieces = nodes.iter().map(of_kind).fold(1, u64::saturating_mul);
        let most = wanted.samples.div_ceil(pieces) as usize;
        let (samples, broken) = call(id, None, || {
            let broken = source.broken().into_iter().map(|(sample, error)| format!("stage `{id}`, sample {sample}: {error}"));
            let broken = broken.collect();
            source.samples().into_iter().for_each(|all| counts.announce(id, all));
            Ok((first(&mut *source, wanted.first_epoch, most)?, broken))
        })
        .map_err(failure)?;
        let makes_pairs = |&&node: &&NodeIndex| graph.stage(node).kind.output == Some(PortType::of::<ImagePair>());
        let decoded = nodes.iter().find(makes_pairs).filter(|&&decoded| decoded != node);
        let before = decoded.and_then(|&decoded| stages.iter().position(|(id, _)| *id == graph.stage(decoded).id));
        let stage = graph.stage(node);
        let inputs = graph.facts.get(node.index()).map_or(&[][..], Vec::as_slice);
        let classes = Classes::of(&stage.kind.run_check(&stage.options, inputs)?.facts);
        let rows = wanted.samples.min((samples.len() as u64).saturating_mul(pieces)) as usize;
        let side = thumbnail_side(rows, wanted.epochs as usize + usize::from(before.is_some()));
        let (first_epoch, epochs) = (wanted.first_epoch, wanted.epochs);
        let seed = pipeline.settings.seed;
        Ok((Self { seed, stages, before, samples, first_epoch, epochs, classes, rows, side }, broken))
    }

    /// The rows of one sample: one, or one for each of its pieces.
    fn rows(&self, sample: &Item) -> std::result::Result<Vec<Row>, RunError> {
        let mut rows: Vec<Row> = Vec::new();
        for epoch in (self.first_epoch..).take(self.epochs as usize) {
            let (before, items) = self.run(sample, epoch)?;
            if rows.is_empty() {
                let before = || before.iter().cloned().collect();
                rows = items.iter().map(|item| (item.sample.to_string(), before())).collect();
            }
            for (item, (name, cells)) in items.into_iter().zip(&mut rows) {
                cells.push(self.thumbnail(item, name)?);
            }
        }
        Ok(rows)
    }

    /// One sample in one epoch: how it was decoded, if that is shown, and what the last stage makes of it.
    fn run(&self, sample: &Item, epoch: u64) -> std::result::Result<(Option<RgbImage>, Vec<Item>), RunError> {
        let mut first = sample.clone();
        first.epoch = epoch;
        let mut items = vec![first];
        let mut before = None;
        for (at, (stage, running)) in self.stages.iter().enumerate() {
            let mut made = Vec::new();
            for item in items {
                let sample = item.sample.clone();
                let cx = ItemContext { stage, seed: self.seed, epoch, sample: &sample };
                made.extend(call(stage, Some(&sample), || match running {
                    Stateless::Map(map) => Ok(vec![map.map(item, &cx)?]),
                    Stateless::FlatMap(map) => map.flat_map(item, &cx),
                })?);
            }
            items = made;
            items.truncate(self.rows);
            if let (Some(item), true) = (items.first(), self.before == Some(at) && epoch == self.first_epoch) {
                before = Some(self.thumbnail(item.clone(), &sample.sample)?);
            }
        }
        Ok((before, items))
    }

    fn thumbnail(&self, item: Item, name: &str) -> std::result::Result<RgbImage, RunError> {
        let drawn = || thumbnail(&item.take::<ImagePair>()?, self.classes.is_some(), self.side);
        call("preview", Some(name), drawn)
    }
}

/// The stages that lead to a stage by their first inputs, from the source down to itself.
fn down_to(graph: &Graph, node: NodeIndex) -> Vec<NodeIndex> {
    let mut nodes: Vec<_> = std::iter::successors(Some(node), |&node| graph.into_port(node, 0)).collect();
    nodes.reverse();
    nodes
}

/// At most so many of the samples that come first in an epoch.
fn first(source: &mut dyn ErasedSource, epoch: u64, most: usize) -> Result<Vec<Item>> {
    let mut samples = Vec::new();
    let outcome = source.epoch(epoch, &mut |item| {
        samples.push(item);
        if samples.len() < most { Ok(()) } else { Err(StageError::stopped()) }
    });
    match outcome {
        Err(error) if !error.is_stopped() => Err(error),
        _ => Ok(samples),
    }
}

fn context(pipeline: &Pipeline, node: NodeIndex, counts: &SampleCount) -> BuildContext {
    let (graph, settings) = (&pipeline.graph, &pipeline.settings);
    let stage = graph.stage(node);
    let above = graph.counted_into(node, 0);
    BuildContext {
        pipeline: pipeline.id(),
        seed: settings.seed,
        epochs: settings.epochs,
        facts: graph.facts.get(node.index()).cloned().unwrap_or_default(),
        samples: counts.of(above.into_iter().map(|(source, pieces)| (graph.stage(source).id.clone(), pieces)).collect()),
        skips_broken: settings.on_error.cap().is_some(),
        strict: settings.strict,
        // Of the stages that may stand before images only a source has a role, and with it peers; and only a cache asks for what is before it.
        ..BuildContext::standalone(&stage.id)
    }
}
