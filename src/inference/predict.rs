//! Predicts photographs into a folder. A prediction that was stopped goes on: what is there isn't made again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_contract::memory::{self, Side};
use pipeline_contract::{End, Registry, Result, StageError};
use pipeline_images::{Listed, Photograph, given_photographs, list_photographs, photograph_size};
use pipeline_training::plan::size;
use serde_json::{Value, json};

use super::heard::{Heard, options};
use super::recipe::{Choices, Recipe};
use super::record::{self, How, Work};
use crate::engine::{self, Control, SkipLedger, Skipped};
use crate::plan::of_prediction;
use crate::run::Folder;
use crate::spec::{self, Pipeline};

/// What to predict, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Models, checkpoints or folders of runs; of several the mean of the probabilities counts.
    pub models: Vec<PathBuf>,
    /// Photographs, folders and patterns.
    pub inputs: Vec<String>,
    /// Where pictures go.
    pub out: PathBuf,
    /// How.
    pub choices: Choices,
    /// Whether probabilities are written.
    pub probabilities: bool,
    /// Whether overlays are written.
    pub overlays: bool,
    /// Whether probabilities outside of the photograph's disc are 0.
    pub field_of_view: bool,
    /// Whether pictures that are there are made again.
    pub overwrite: bool,
    /// Says what it will take, and ends.
    pub only_plan: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Predicted {
    /// Photographs whose pictures were written.
    pub written: u64,
    /// Photographs whose pictures were there.
    pub there: u64,
    /// Photographs that couldn't be read.
    pub broken: Vec<Skipped>,
    /// Whether all was done.
    pub end: End,
}

/// The pixels of the largest photograph that is read, as the default of `decode`.
const MOST_PIXELS: u64 = 100_000_000;

/// Predicts photographs. Says before it begins what it will take of memory.
///
/// # Errors
/// When a model or the list of photographs can't be read, or a picture can't be written. A photograph that can't be read is skipped and named in the
/// result.
pub fn predict(request: &Request, registry: &Registry, control: &Control, quiet: bool) -> Result<Predicted> {
    let Request { models, inputs, out, choices, probabilities, overlays, field_of_view, overwrite, only_plan } = request;
    let recipe = Recipe::of(models, choices)?;
    let mut stage = recipe.options();
    stage.insert("probabilities".to_owned(), json!(probabilities));
    stage.insert("overlays".to_owned(), json!(overlays));
    stage.insert("field_of_view".to_owned(), json!(field_of_view));
    // Pictures of an earlier time are no photographs, where they lie beside them.
    let own: Vec<PathBuf> = record::FOLDERS.iter().filter_map(|name| out.join(name).canonicalize().ok()).collect();
    let is_own = |path: &Path| path.canonicalize().is_ok_and(|path| own.iter().any(|own| path.starts_with(own)));
    let Listed { photographs, broken: unlisted } = list_photographs(inputs, &is_own)?;
    let work = Work::of(out, How::of(&recipe, &stage)?, photographs, *overwrite)?;
    let (there, total) = (work.there, work.photographs.len() as u64);
    let done = |written, mut broken: Vec<Skipped>, end| {
        broken.extend(unlisted.iter().map(|(sample, error)| skipped(sample, error)));
        Ok(Predicted { written, there, broken, end })
    };
    for (sample, error) in &unlisted {
        tracing::warn!("sample {sample} is skipped: {error}");
    }
    // What can't be predicted leaves nothing behind.
    let planned = match work.photographs.is_empty() {
        true => {
            tracing::info!("all {there} photographs are there already");
            None
        }
        false => {
            let pipeline = pipeline(&recipe, stage, work.photographs.clone(), registry)?;
            Some((tell(&pipeline, &recipe, total, there)?, pipeline))
        }
    };
    let Some((planned, pipeline)) = planned.filter(|_| !only_plan) else { return done(0, Vec::new(), End::Complete) };
    let taken = |error| StageError::new(format!("{} can't be used: {error}", out.display()));
    let _held = Folder::hold(out).map_err(taken)?;
    work.begin(out)?;
    let (heard, ledger) = (Arc::new(Heard::new(total, quiet)), Arc::new(SkipLedger::new(pipeline.settings.on_error.cap())));
    memory::reset_peak(Side::Host);
    memory::reset_peak(Side::Device);
    let outcome = engine::run(&pipeline.graph, options(&pipeline, out, &heard, &ledger), control);
    heard.finish();
    let (written, broken) = (heard.counter.done(), ledger.all());
    let end = match outcome {
        Ok(report) => report.end,
        // An epoch without a sample is an error in training; here all files are broken, and each is named.
        Err(_) if broken.len() as u64 == total => End::Complete,
        Err(error) => {
            let message = StageError::new(error.to_string());
            return Err(error.cause.mend().map_or(message.clone(), |mend| message.help(mend)));
        }
    };
    measured(planned);
    done(written, broken, end)
}

fn skipped(sample: &str, error: &StageError) -> Skipped {
    let [stage, source] = ["files"; 2].map(str::to_owned);
    Skipped { sample: sample.to_owned(), stage, source, error: error.to_string(), epoch: 1 }
}

/// The pipeline from the photographs to their pictures.
fn pipeline(
    recipe: &Recipe,
    options: serde_json::Map<String, Value>,
    photographs: Vec<Photograph>,
    registry: &Registry,
) -> Result<Pipeline> {
    // A photograph whose header can't be read is named when it is decoded.
    let sizes = photographs.iter().filter_map(|photograph| photograph_size(&photograph.path, MOST_PIXELS).ok());
    let largest = sizes.max_by_key(|[height, width]| height * width);
    let mut stages = vec![json!({"id": "files", "use": "photographs"})];
    stages.extend(recipe.stages());
    stages.push(json!({"id": "predict", "use": "predict", "with": options}));
    let file = json!({
        "name": "predict",
        "on_error": {"skip": {"at_most": 1_000_000_000, "share": 1.0}},
        "strict": recipe.choices.strict,
        "trainer": recipe.trainer(),
        "stages": stages,
    });
    let registry = registry.clone().with(given_photographs(photographs, largest));
    checked(&file, &registry)
}

/// Reads a file that was made here. Its problems are those of the models and the choices.
///
/// # Errors
/// The first problem.
pub(super) fn checked(file: &Value, registry: &Registry) -> Result<Pipeline> {
    let loaded = spec::load_text("prediction", file.to_string(), &[], registry);
    let problem = loaded.diagnostics.iter().find(|problem| problem.is_error());
    match (loaded.pipeline, problem) {
        (Some(pipeline), _) => Ok(pipeline),
        (None, Some(problem)) => {
            let error = StageError::new(problem.message.clone());
            Err(problem.help.as_ref().map_or(error.clone(), |help| error.help(help.clone())))
        }
        (None, None) => Err(StageError::new("the prediction can't be planned").help("this is a bug of the program")),
    }
}

/// Says what the prediction will take: bytes of the device and of the host.
fn tell(pipeline: &Pipeline, recipe: &Recipe, total: u64, there: u64) -> Result<(u64, u64)> {
    let (plan, host) = of_prediction(pipeline)?;
    let (device, host) = (plan.peak.total, host.peak());
    let networks = if recipe.models.len() > 1 {
        format!("{} models", recipe.models.len())
    } else {
        recipe.models[0].display().to_string()
    };
    let already = if there > 0 { format!(" ({there} are there already)") } else { String::new() };
    tracing::info!("{networks}: {total} photographs{already}, {}", recipe.words());
    tracing::info!("device: {} at the peak, in {} ({})", size(device), plan.peak.place, plan.device.description);
    tracing::info!("host: at most {}", size(host));
    Ok((device, host))
}

/// Says what it took, where that is known.
fn measured((device, host): (u64, u64)) {
    if let (Some(used), Some(held)) = (memory::usage(Side::Device), memory::usage(Side::Host)) {
        tracing::info!(
            "memory at the peak: device {} of {} planned, host {} of {}",
            size(used.peak),
            size(device),
            size(held.peak),
            size(host)
        );
    }
}
