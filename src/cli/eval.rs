//! `pipeline eval MODEL FILE.yml` and `pipeline eval MODEL --images PATTERN --masks PATTERN`: the figures of a trained model.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::{End, Registry, Result, StageError};

use super::choices::ChoiceOpts;
use super::{exit, output, signals};
use crate::engine::Control;
use crate::inference::{Choices, Evaluated, Wanted, evaluate};
use crate::spec;

/// Measures a trained model on photographs with masks.
#[derive(Debug, Args)]
pub struct Opts {
    /// A model.safetensors, a checkpoint, or a run's folder.
    model: PathBuf,
    /// A pipeline file: the model is measured as its evaluation does it.
    #[arg(conflicts_with_all = ["images", "masks"])]
    file: Option<PathBuf>,
    /// Overrides a key of the file: dataset.FIVES.data_root=/data.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "file")]
    pub(super) set: Vec<String>,
    /// The id of the evaluation, where the file has several. Default: that of the test part.
    #[arg(long = "of", value_name = "ID", requires = "file")]
    of: Option<String>,
    /// The photographs' pattern, such as 'images/{id}.png'.
    #[arg(long, value_name = "PATTERN", requires = "masks")]
    images: Option<String>,
    /// The masks' pattern, such as 'masks/{id}_mask.png'.
    #[arg(long, value_name = "PATTERN", requires = "images")]
    masks: Option<String>,
    /// The pattern of masks of the field of view. Default: it is found from the photograph.
    #[arg(long, value_name = "PATTERN", requires = "images")]
    field_of_view: Option<String>,
    /// Counts all pixels, also those around the photograph's disc.
    #[arg(long, conflicts_with = "field_of_view")]
    whole_image: bool,
    #[command(flatten)]
    pub(super) choices: ChoiceOpts,
    /// A folder for figures.csv and predictions.png. Default: neither is kept.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Prints the figures as JSON, with those of each image.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool, quiet: bool) -> ExitCode {
    let pipeline = match &opts.file {
        None => None,
        Some(file) => {
            let loaded = spec::load(file, &opts.set, registry);
            super::show_problems(&loaded, color);
            let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
            Some(pipeline)
        }
    };
    let wanted = match (&pipeline, &opts.images, &opts.masks) {
        (Some(pipeline), ..) => Wanted::File(pipeline, opts.of.as_deref()),
        (None, Some(images), Some(masks)) => Wanted::Pairs { images, masks, field_of_view: opts.field_of_view.as_deref() },
        _ => {
            tracing::error!("on what? Name a pipeline file, or --images and --masks");
            return exit::USAGE.into();
        }
    };
    let control = Control::new();
    let asked = signals::listen(&control);
    let measured = in_folder(opts.out.as_deref(), |out| {
        let models: Vec<PathBuf> = std::iter::once(&opts.model).chain(&opts.choices.with).cloned().collect();
        let choices = Choices { whole_image: opts.whole_image, ..opts.choices.choices() };
        evaluate(&models, &wanted, &choices, out, registry, (&control, quiet))
    });
    match measured {
        Ok(measured) => {
            if measured.end == End::Interrupted {
                tracing::warn!("stopped before all images were measured: there are no figures");
                return asked.exit(false).into();
            }
            let text = if opts.json { format!("{:#}\n", measured.to_json()) } else { table(&measured) };
            output::answer(&text, if measured.broken.is_empty() { exit::DONE } else { exit::PROBLEMS })
        }
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't evaluate {}: {error}{help}", opts.model.display());
            exit::FAILED.into()
        }
    }
}

/// Does `work` in a folder that stays, or in one of its own that goes afterwards.
fn in_folder<T>(out: Option<&Path>, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    if let Some(out) = out {
        return work(out);
    }
    // A program that was killed may have left one behind.
    let name = |attempt: u32| std::env::temp_dir().join(format!("pipeline-eval-{}-{attempt}", std::process::id()));
    let made = (0..100).map(name).find_map(|folder| match std::fs::create_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => None,
        made => Some(made.map(|()| folder)),
    });
    let none = || std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    let own =
        made.unwrap_or_else(|| Err(none())).map_err(|error| StageError::from(error).context("a folder for temporary files"))?;
    let result = work(&own);
    if let Err(error) = std::fs::remove_dir_all(&own) {
        tracing::debug!("{} stays: {error}", own.display());
    }
    result
}

/// The figures of all images with their intervals, and of the worst ones.
fn table(measured: &Evaluated) -> String {
    /// Images that are listed.
    const WORST: usize = 5;
    let (eval, mut text) = (&measured.eval, String::new());
    let threshold = eval.threshold.map(|threshold| format!(", threshold {threshold}")).unwrap_or_default();
    let at = if eval.at.as_deref() == Some("native") { "at their own size" } else { "at the network's size" };
    // Writing to a string doesn't fail.
    let _ = writeln!(text, "{} images, {at}{threshold}", eval.images);
    for (name, value) in eval.metrics.iter() {
        let Some(value) = value else { continue };
        let interval = eval.intervals.get(name).map(|[low, high]| format!("   95%: {low:.4} to {high:.4}")).unwrap_or_default();
        let _ = writeln!(text, "  {name:<28}{value:>10.4}{interval}");
    }
    for (name, figures) in eval.classes.iter() {
        let shown = figures.iter().filter_map(|(figure, value)| Some(format!("{figure} {:.4}", (*value)?)));
        let _ = writeln!(text, "  {name}: {}", shown.collect::<Vec<_>>().join(", "));
    }
    if measured.images.len() > 1 {
        let _ = writeln!(text, "worst:");
    }
    for image in measured.images.iter().take(WORST).filter(|_| measured.images.len() > 1) {
        let dice = image.metrics.get("dice").copied().flatten();
        let _ =
            writeln!(text, "  {:<28}{:>10}", image.sample, dice.map_or_else(|| "none".to_owned(), |dice| format!("{dice:.4}")));
    }
    text
}
