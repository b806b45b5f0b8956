//! `pipeline preview FILE`: a contact sheet of what the network will see. Nothing is trained.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use pipeline_contract::{Registry, StageError};

use super::{exit, output};
use crate::preview::{MOST_EPOCHS, MOST_SAMPLES, Wanted, preview, shown_stage};
use crate::spec;

/// Draws what a file's stages make of its first samples, in several epochs side by side.
#[derive(Debug, Args)]
pub struct Opts {
    /// The pipeline file.
    file: PathBuf,
    /// The stage whose images are shown. Default: the last before the batches of the training.
    #[arg(long, value_name = "ID")]
    stage: Option<String>,
    /// How many samples, a row each.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=MOST_SAMPLES))]
    samples: u64,
    /// The first epoch that is shown, from 1.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    epoch: u64,
    /// How many epochs, a column each.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=MOST_EPOCHS))]
    epochs: u64,
    /// Where to write it: a PNG, or a folder for preview.png. An older sheet there is replaced.
    #[arg(long, value_name = "PATH", default_value = "preview.png")]
    out: PathBuf,
    /// Overrides a key of the file: stages.augment.with.rotate=45.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
}

/// Runs the command.
pub fn cmd(opts: &Opts, registry: &Registry, color: bool) -> ExitCode {
    let loaded = spec::load(&opts.file, &opts.set, registry);
    super::show_problems(&loaded, color);
    let Some(pipeline) = loaded.pipeline else { return exit::PROBLEMS.into() };
    let node = match shown_stage(&pipeline.graph, opts.stage.as_deref()) {
        Ok(node) => node,
        Err(error) => return refused(opts, &error, exit::USAGE),
    };
    let path = match file(&opts.out) {
        Ok(path) => path,
        Err(error) => return refused(opts, &error, exit::USAGE),
    };
    let wanted = Wanted { samples: opts.samples, first_epoch: opts.epoch - 1, epochs: opts.epochs };
    let shown = match preview(&pipeline, node, &wanted) {
        Ok(shown) => shown,
        Err(error) => return refused(opts, &error, exit::FAILED),
    };
    shown.broken.iter().for_each(|broken| tracing::warn!("left out: {broken}"));
    if let Err(error) = write(&shown.picture, &path) {
        tracing::error!("can't write {}: {error}", path.display());
        return exit::FAILED.into();
    }
    let (samples, stage) = (shown.samples, &pipeline.graph.stage(node).id);
    let samples = if samples == 1 { "1 sample".to_owned() } else { format!("{samples} samples") };
    let epochs = match opts.epochs {
        1 => format!("epoch {}", opts.epoch),
        more => format!("epochs {} to {}", opts.epoch, opts.epoch - 1 + more),
    };
    output::answer(&format!("{}: {samples} of `{stage}`, {epochs}\n", path.display()), exit::DONE)
}

fn refused(opts: &Opts, error: &StageError, code: u8) -> ExitCode {
    let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
    tracing::error!("can't show {}: {error}{help}", opts.file.display());
    code.into()
}

/// The file itself, or in a folder `preview.png`.
fn file(out: &Path) -> Result<PathBuf, StageError> {
    match out.extension() {
        _ if out.is_dir() => Ok(out.join("preview.png")),
        None => Ok(out.join("preview.png")),
        Some(ending) if ending.eq_ignore_ascii_case("png") => Ok(out.to_owned()),
        Some(ending) => {
            let message = format!("a sheet can't be written as `.{}`", ending.display());
            Err(StageError::new(message).help("name a file that ends in .png, or a folder"))
        }
    }
}

fn write(picture: &image::RgbImage, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = io::Cursor::new(Vec::new());
    picture.write_to(&mut file, image::ImageFormat::Png).map_err(io::Error::other)?;
    std::fs::write(path, file.into_inner())
}
