//! What `predict` and `eval` let a user choose beside what the model's file says. How it is used is in `inference`.

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::inference::{Choices, PRECISIONS, Size, Tiles};

/// How photographs are prepared and predicted; by default as the model's file says.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Prediction, by default as the model's file says")]
pub(super) struct ChoiceOpts {
    /// Another model, for the mean of the probabilities of both; can be given several times.
    #[arg(long, value_name = "MODEL")]
    pub(super) with: Vec<std::path::PathBuf>,
    /// The size that photographs are resized to: 512, 768x1024 (height x width), or own. Not with a pipeline file.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<Size>,
    /// Predicts tile by tile: 512, 384x512, or none.
    #[arg(long, value_name = "SIZE", value_parser = tiles)]
    tiles: Option<Tiles>,
    /// The share of a tile that the next one covers again. Default: 0.5.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    overlap: Option<f64>,
    /// Photographs, or tiles, in a pass. Default: 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    batch: Option<u64>,
    /// Takes the mean over positions of the photograph: flips (4) or all (8 flips and quarter turns).
    #[arg(long, value_name = "TURNS", value_parser = ["none", "flips", "all"])]
    turns: Option<String>,
    /// A pixel is vessel if its probability exceeds this, from 0 to 1.
    #[arg(long, value_name = "P", value_parser = probability)]
    threshold: Option<f32>,
    /// The device: auto, cpu, wgpu, vulkan, metal, cuda, cuda:1, as far as this build has them. Default: auto.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// The precision. Default: the one that the model was trained in.
    #[arg(long = "mixed_precision", value_name = "PRECISION", value_parser = PossibleValuesParser::new(PRECISIONS))]
    mixed_precision: Option<String>,
    /// CPU workers that decode. Default: one for each core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=256))]
    workers: Option<u64>,
    /// Whether what is doubtful is an error.
    #[arg(skip)]
    pub(super) strict: bool,
}

impl ChoiceOpts {
    pub(super) fn choices(&self) -> Choices {
        Choices {
            size: self.size,
            tiles: self.tiles,
            overlap: self.overlap,
            batch: self.batch.map(|batch| batch as usize),
            turns: self.turns.clone(),
            threshold: self.threshold,
            device: self.device.clone(),
            precision: self.mixed_precision.clone(),
            whole_image: false,
            workers: self.workers.map(|workers| workers as usize),
            strict: self.strict,
        }
    }
}

/// `512` or `384x512`: height and width.
fn pixels(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.trim().parse::<usize>().ok().filter(|side| (1..=1 << 15).contains(side));
    let sides = match text.split_once('x') {
        Some((height, width)) => side(height).zip(side(width)),
        None => side(text).map(|side| (side, side)),
    };
    sides.map(|(height, width)| [height, width]).ok_or_else(|| "write 512, or 384x512 for height x width".to_owned())
}

fn size(text: &str) -> Result<Size, String> {
    if text == "own" { Ok(Size::Own) } else { pixels(text).map(Size::Pixels).map_err(|wrong| wrong + ", or own") }
}

fn tiles(text: &str) -> Result<Tiles, String> {
    if text == "none" { Ok(Tiles::Whole) } else { pixels(text).map(Tiles::Pixels).map_err(|wrong| wrong + ", or none") }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=0.95).contains(share)).ok_or_else(|| "write a share from 0 to 0.95".to_owned())
}

fn probability(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "write a probability from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_side_or_height_and_width() {
        assert_eq!(size("512"), Ok(Size::Pixels([512, 512])));
        assert_eq!((size("own"), tiles("none")), (Ok(Size::Own), Ok(Tiles::Whole)));
        assert_eq!(tiles("384x512"), Ok(Tiles::Pixels([384, 512])));
        for wrong in ["", "0", "x", "12x", "1e3", "99999", "512x512x3"] {
            assert!(size(wrong).is_err() && tiles(wrong).is_err(), "{wrong}");
        }
        assert!(share("0.99").is_err() && share("0.5").is_ok() && probability("1.5").is_err());
    }
}
