//! `pipeline sample DIR`: a small data set to try things with.
//! What it looks like is the image crate's.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{exit, output};

/// Draws synthetic fundus images with their vessels, in the layout of FIVES.
#[derive(Debug, Args)]
pub struct Opts {
    /// The folder to write to; created if absent.
    dir: PathBuf,
    /// Number of images with masks; about a fifth of them are for testing.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pairs: usize,
    /// The side of the images, in pixels.
    #[arg(long, default_value_t = 512, value_name = "S")]
    size: usize,
    /// The seed: the same gives the same images.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Tells arteries from veins in the masks: red and blue instead of white.
    #[arg(long)]
    classes: bool,
}

/// Runs the command.
pub fn cmd(opts: &Opts) -> ExitCode {
    let (dir, size) = (opts.dir.display(), opts.size);
    match pipeline_images::write_sample_set(&opts.dir, opts.pairs, size, opts.seed, opts.classes) {
        Ok(set) => {
            let next = if opts.classes {
                "read them by: {use: decode, with: {labels: {artery: [255, 0, 0], vein: [0, 0, 255]}}}".to_owned()
            } else {
                let root = word(&dir.to_string());
                format!(
                    "train on them: pipeline run pipelines/fives.yml --set dataset.FIVES.data_root={root} --set dataset.FIVES.image_size={size}"
                )
            };
            let (train, test) = (set.train, set.test);
            let text = format!("{dir}: {train} pairs to train on, {test} to test on, {size} x {size} pixels\n{next}\n");
            output::answer(&text, exit::DONE)
        }
        Err(error) => {
            let help = error.mend().map(|mend| format!("\n  help: {mend}")).unwrap_or_default();
            tracing::error!("can't write a sample set to {dir}: {error}{help}");
            exit::FAILED.into()
        }
    }
}

/// A word that a shell takes as one.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn the_next_command_can_be_pasted() {
        assert_eq!(["data/drawn", "my data", "it's"].map(word), ["data/drawn", "'my data'", "'it'\\''s'"]);
    }
}
