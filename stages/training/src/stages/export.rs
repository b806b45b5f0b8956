//! `export`: writes the trained weights into the run's folder when the run ends, under PyTorch's names: the last ones, and those of the best
//! epoch. It has nothing to do with checkpoints during the run, but takes the best one's weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_contract::events::summary;
use pipeline_contract::files::replace_by;
use pipeline_contract::{
    BestCheckpoint, BuildContext, Checked, End, Events, Facts, Finding, ItemContext, Nothing, OptionSpec, OptionType, Output,
    Place, Result, Saved, Sequential, Shelf, StageError, StageKind, stays_inside,
};
use serde::Deserialize;

use super::Step;
use crate::device;
use crate::files::failed;
use crate::model::{Card, Model};
use crate::onnx;
use crate::trainee::Shared;
use crate::weights;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    file: PathBuf,
    last: PathBuf,
    onnx: bool,
}

pub(super) fn kind() -> StageKind {
    let file = |name, default: &'static str, doc| OptionSpec::new(name, OptionType::Path, default, doc).harmless();
    StageKind::device(
        "export",
        "writes the trained weights, or their average (`ema`), as safetensors, under PyTorch's names: the best epoch's and the last",
        |o: Options, cx: &BuildContext| {
            let files = [cx.out.join(o.file), cx.out.join(o.last)];
            Ok(Export { files, onnx: o.onnx, events: cx.events.clone(), network: None, epoch: 0 })
        },
    )
    .option(file(
        "file",
        "model.safetensors",
        "where the model of the best epoch goes, by the evaluation that chooses, a .safetensors in the run's folder; where none is chosen, the last",
    ))
    .option(file("last", "last.safetensors", "where the model goes as it is when the run ends"))
    .option(
        OptionSpec::new("onnx", OptionType::Bool, false, "also writes the first of them as an ONNX file beside it, for other programs").harmless(),
    )
    .on_best(|options: Options, cx, found| best(&cx.out.join(options.file), options.onnx, &*cx.events, found))
    .check(|options: &Options, _: &[Facts]| {
        // Requiring the extension keeps it from overwriting the run's own files.
        let wrong = |path: &Path| {
            let safetensors = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
            !safetensors || !stays_inside(path)
        };
        let misplaced = [("file", &options.file), ("last", &options.last)].into_iter().filter(|(_, path)| wrong(path));
        let mut findings: Vec<Finding> = misplaced
            .map(|(option, _)| {
                Finding::error(Place::Option(option.into()), "the weights are a .safetensors file in the run's folder")
                    .help(format!("write {option}: {}.safetensors", if option == "file" { "model" } else { "last" }))
            })
            .collect();
        if findings.is_empty() && options.file == options.last {
            let message = "the best epoch's weights and the last ones would be one file";
            findings.push(Finding::error(Place::Option("last".into()), message).help("name another file"));
        }
        Checked { findings, ..Checked::default() }
    })
    .example("- {id: export, use: export}")
}

/// Writes the network of the best checkpoint, with what was measured in its epoch.
fn best(path: &Path, onnx: bool, events: &dyn Events, found: &BestCheckpoint) -> Result<()> {
    let mut model = Model::open(&found.path, &device::open("cpu")?.device)?;
    let epoch = found.evaluations.first().map(|evaluation| evaluation.epoch);
    if let (Some(epoch), Some(own)) = (epoch, model.card.epoch)
        && epoch != own
    {
        let message = format!("epoch {epoch} was the best, but the best checkpoint that could be written is of epoch {own}");
        return Err(StageError::new(message));
    }
    model.card.figures.clear();
    found.evaluations.iter().for_each(|evaluation| model.card.note(evaluation));
    let saved = model.save(path)?;
    if onnx {
        model.write_onnx(&path.with_extension("onnx"))?;
    }
    events.summarize(summary::MODEL_SHA256, saved.sha256.into());
    events.summarize(summary::MODEL_EPOCH, model.card.epoch.into());
    Ok(())
}

/// Puts a file in a second place: as a hard link, or a copy if the file system has none.
fn also(file: &Path, path: &Path) -> Result<()> {
    let linked = |beside: &Path| std::fs::hard_link(file, beside).or_else(|_| std::fs::copy(file, beside).map(drop));
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder.and_then(|()| replace_by(path, linked)).map_err(|error| failed(path, error))
}

struct Export {
    /// Where the best weights go, and the last.
    files: [PathBuf; 2],
    /// Whether an ONNX file is written beside the first.
    onnx: bool,
    events: Arc<dyn Events>,
    network: Option<Shared>,
    /// The last whole epoch, from 1.
    epoch: u64,
}

impl Sequential for Export {
    type In = Step;
    type Out = Nothing;

    fn item(&mut self, input: Step, _: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.network = Some(input.network);
        Ok(())
    }

    fn epoch_end(&mut self, epoch: u64, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.epoch = epoch + 1;
        Ok(())
    }

    /// Also writes when the run is interrupted: the weights are those of the last whole window. Both files at first; where a best checkpoint is
    /// kept, its weights take the first one's place afterwards.
    fn finish(&mut self, _: End) -> Result<()> {
        let [best, last] = &self.files;
        let Some(network) = &self.network else {
            tracing::warn!(file = %last.display(), "no step was made, so no weights are written");
            return Ok(());
        };
        let trainee = network.lock()?;
        let card = trainee.card.clone().map(|card| Card {
            epoch: Some(self.epoch).filter(|&epoch| epoch > 0).or(card.epoch),
            weights: if trainee.average().is_some() { "average".to_owned() } else { card.weights },
            ..card
        });
        let metadata = card.as_ref().map(Card::metadata).unwrap_or_default();
        let saved = weights::save(&trainee.network, &trainee.averaged(), metadata, last)?;
        also(last, best)?;
        if let (true, Some(card)) = (self.onnx, card) {
            onnx::write(&trainee.network, &trainee.averaged(), &card.about(), &best.with_extension("onnx"))?;
        }
        self.events.summarize(summary::WEIGHTS_SHA256, saved.sha256.into());
        self.events.summarize(summary::PARAMETERS, saved.parameters.into());
        Ok(())
    }

    fn restore(&mut self, _: Saved, shelf: &mut Shelf) -> Result<()> {
        self.network = shelf.find();
        Ok(())
    }
}
