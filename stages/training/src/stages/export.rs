//! `export`: writes the trained weights into the run's folder when the run ends, under PyTorch's names.
//! Checkpoints during the run are another matter.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline_contract::{
    BuildContext, Checked, End, Events, Facts, Finding, ItemContext, Nothing, OptionSpec, OptionType, Output, Place, Result,
    Saved, Sequential, Shelf, StageKind,
};
use serde::Deserialize;

use super::Step;
use crate::trainee::Shared;
use crate::weights;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    file: PathBuf,
}

pub(super) fn kind() -> StageKind {
    StageKind::device(
        "export",
        "writes the trained weights as safetensors, under PyTorch's names",
        |o: Options, cx: &BuildContext| Ok(Export { path: cx.out.join(o.file), events: cx.events.clone(), network: None }),
    )
    .option(
        OptionSpec::new("file", OptionType::Path, "model.safetensors", "the file; relative paths count from the run's folder")
            .harmless(),
    )
    .check(|options: &Options, _: &[Facts]| {
        let named = options.file.file_name().is_some();
        let finding =
            || Finding::error(Place::Option("file".into()), "a file's name is wanted").help("file: model.safetensors");
        Checked { findings: if named { Vec::new() } else { vec![finding()] }, ..Checked::default() }
    })
    .example("- {id: export, use: export}")
}

struct Export {
    path: PathBuf,
    events: Arc<dyn Events>,
    network: Option<Shared>,
}

impl Sequential for Export {
    type In = Step;
    type Out = Nothing;

    fn item(&mut self, input: Step, _: &ItemContext<'_>, _: &mut Output<'_, Nothing>) -> Result<()> {
        self.network = Some(input.network);
        Ok(())
    }

    /// Also writes when the run is interrupted: the weights are those of the last whole window.
    fn finish(&mut self, _: End) -> Result<()> {
        let Some(network) = &self.network else {
            tracing::warn!(file = %self.path.display(), "no step was made, so no weights are written");
            return Ok(());
        };
        let trainee = network.lock()?;
        let saved = weights::save(&trainee.network, &trainee.state, &self.path)?;
        self.events.summarize("weights_sha256", saved.sha256.into());
        self.events.summarize("parameters", saved.parameters.into());
        Ok(())
    }

    fn restore(&mut self, _: Saved, shelf: &mut Shelf) -> Result<()> {
        self.network = shelf.find();
        Ok(())
    }
}
