//! `export`: writes the trained weights into the run's folder when the run ends, under PyTorch's names.
//! It has nothing to do with checkpoints during the run.

use std::path::PathBuf;
use std::sync::Arc;

use pipeline_contract::events::summary;
use pipeline_contract::{
    BuildContext, Checked, End, Events, Facts, Finding, ItemContext, Nothing, OptionSpec, OptionType, Output, Place, Result,
    Saved, Sequential, Shelf, StageKind, stays_inside,
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
        "writes the trained weights, or their average (`ema`), as safetensors, under PyTorch's names",
        |o: Options, cx: &BuildContext| Ok(Export { path: cx.out.join(o.file), events: cx.events.clone(), network: None }),
    )
    .option(
        OptionSpec::new("file", OptionType::Path, "model.safetensors", "the file's name in the run's folder, a .safetensors")
            .harmless(),
    )
    .check(|options: &Options, _: &[Facts]| {
        // Requiring the extension keeps it from overwriting the run's own files.
        let safetensors = options.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
        let finding = (!safetensors || !stays_inside(&options.file)).then(|| {
            Finding::error(Place::Option("file".into()), "the weights are a .safetensors file in the run's folder")
                .help("write file: model.safetensors")
        });
        Checked { findings: finding.into_iter().collect(), ..Checked::default() }
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
        let saved = weights::save(&trainee.network, &trainee.averaged(), &self.path)?;
        self.events.summarize(summary::WEIGHTS_SHA256, saved.sha256.into());
        self.events.summarize(summary::PARAMETERS, saved.parameters.into());
        Ok(())
    }

    fn restore(&mut self, _: Saved, shelf: &mut Shelf) -> Result<()> {
        self.network = shelf.find();
        Ok(())
    }
}
