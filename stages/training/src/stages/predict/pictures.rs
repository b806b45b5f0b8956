//! The files of a photograph's prediction. Independent of all other photographs, so that several are written at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pipeline_contract::{Result, StageError, stays_inside};
use pipeline_images::{Classes, Original, OwnPixels, class_colour, field_of_view, overlay};
use pipeline_metrics::argmax;
use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use crate::files::{failed, replace};
use crate::stages::prediction::{NetworkOutput, bring_back};

/// Which files are written beside the masks, and of which pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub probabilities: bool,
    pub overlays: bool,
    /// Whether nothing is vessel outside of the photograph's disc.
    pub field_of_view: bool,
}

/// A prediction to write.
pub(super) struct Job {
    /// The photograph's id, which names its files.
    pub sample: Arc<str>,
    /// What the networks said, `[channels, height, width]`.
    pub output: NetworkOutput,
    /// Channels of the networks' outputs; 1: vessel or not.
    pub channels: usize,
    /// Width of the output in pixels.
    pub across: usize,
    /// The photograph's own size, and its place in the output.
    pub original: Original,
    /// The photograph's pixels where `original` doesn't hold them; empty where no overlay is wanted.
    pub photograph: Vec<u8>,
    /// The names of the classes, the background first.
    pub names: Arc<Classes>,
    /// A pixel is vessel if its probability exceeds this.
    pub threshold: f32,
    /// Which files.
    pub wanted: Wanted,
    /// The folder.
    pub out: PathBuf,
}

/// Bytes that the files of a photograph of `own` pixels take, of which the networks saw `seen`: the output and its probabilities at both sizes, the mask,
/// the photograph, and a file as it is encoded.
pub(super) fn needed(own: u64, seen: u64, channels: u64) -> u64 {
    // A file is at most as large as its pixels, with a filter's byte a row; the largest is a photograph's or one of 16 bits.
    let (photograph, encoded) = (3, 4 + 2);
    own.saturating_mul(4 * channels + 1 + photograph + encoded).saturating_add(seen.saturating_mul(4 * channels))
}

impl Job {
    /// What it holds and needs besides, in bytes.
    pub fn bytes(&self) -> u64 {
        let seen = self.output.values().len() / self.channels.max(1);
        needed((self.original.height * self.original.width) as u64, seen as u64, self.channels as u64)
    }

    /// Writes the files, each completely or not at all; the mask, which tells that a photograph is done, comes last.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn write(self) -> Result<()> {
        let Self { sample, output, channels, across, original, photograph, names, threshold, wanted, out } = self;
        if !stays_inside(Path::new(&*sample)) {
            return Err(StageError::new(format!("{sample} can't be the name of a file in {}", out.display())));
        }
        let file = |folder: &str, ending: &str| out.join(folder).join(format!("{sample}{ending}.png"));
        let size = [original.height, original.width];
        let probabilities = output.probabilities(channels);
        let area = (probabilities.len() / channels.max(1)).max(1);
        let mut maps: Vec<f32> =
            probabilities.chunks_exact(area).flat_map(|map| bring_back(map, across, original.shown, size)).collect();
        drop(probabilities);
        let photograph = match original.pixels {
            OwnPixels::Kept(pixels) => pixels,
            OwnPixels::OfPair | OwnPixels::Dropped => photograph,
        };
        if (wanted.field_of_view || wanted.overlays) && photograph.len() != 3 * size[0] * size[1] {
            let message = format!("{sample} has lost its photograph of {} x {} pixels", size[1], size[0]);
            return Err(StageError::new(message).help("`decode` keeps it; another stage before this one must hand it on"));
        }
        if wanted.field_of_view
            && let Some(inside) = field_of_view(&photograph, size[0], size[1])
        {
            blank(&mut maps, channels, &inside);
        }
        let predicted: Vec<u8> = match channels {
            1 => maps.iter().map(|&probability| u8::from(probability > threshold)).collect(),
            _ => argmax(&maps, channels),
        };
        if wanted.probabilities {
            let own = (size[0] * size[1]).max(1);
            for (class, map) in maps.chunks_exact(own).enumerate().skip(usize::from(channels > 1)) {
                let ending = if channels > 1 { format!(".{}", plain(&names.names[class])) } else { String::new() };
                let pixels: Vec<u8> = map.iter().flat_map(|&value| ((value * 65535.0).round() as u16).to_be_bytes()).collect();
                write(&file("probabilities", &ending), &pixels, size, (ColorType::Grayscale, BitDepth::Sixteen), None)?;
            }
        }
        drop(maps);
        if wanted.overlays {
            let picture = overlay(photograph, &predicted, &names, size[1]);
            let size = [picture.height() as usize, picture.width() as usize];
            write(&file("overlays", ""), picture.as_raw(), size, (ColorType::Rgb, BitDepth::Eight), None)?;
        }
        match channels {
            1 => {
                let mask: Vec<u8> = predicted.iter().map(|&vessel| vessel * 255).collect();
                write(&file("masks", ""), &mask, size, (ColorType::Grayscale, BitDepth::Eight), None)
            }
            _ => {
                let palette: Vec<u8> = (0..channels).flat_map(|class| class_colour(class as u8)).collect();
                write(&file("masks", ""), &predicted, size, (ColorType::Indexed, BitDepth::Eight), Some(palette))
            }
        }
    }
}

/// Makes the background certain outside of a field of view.
fn blank(maps: &mut [f32], channels: usize, inside: &[u8]) {
    for (class, map) in maps.chunks_exact_mut(inside.len().max(1)).enumerate() {
        let outside = f32::from(channels > 1 && class == 0);
        map.iter_mut().zip(inside).filter(|(_, inside)| **inside == 0).for_each(|(value, _)| *value = outside);
    }
}

/// A class's name as part of a file's.
fn plain(name: &str) -> String {
    name.chars().map(|letter| if letter.is_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}

/// Writes a PNG.
fn write(
    path: &Path,
    pixels: &[u8],
    [height, width]: [usize; 2],
    (color, depth): (ColorType, BitDepth),
    palette: Option<Vec<u8>>,
) -> Result<()> {
    let mut bytes = Vec::new();
    let encode = |bytes: &mut Vec<u8>| -> std::result::Result<(), png::EncodingError> {
        let mut encoder = Encoder::new(bytes, width as u32, height as u32);
        encoder.set_color(color);
        encoder.set_depth(depth);
        encoder.set_compression(Compression::Fast);
        // Photographs change little from pixel to pixel, masks from row to row.
        encoder.set_filter(if color == ColorType::Rgb { Filter::Sub } else { Filter::Up });
        if let Some(palette) = palette {
            encoder.set_palette(palette);
        }
        encoder.write_header()?.write_image_data(pixels)
    };
    encode(&mut bytes).map_err(|error| failed(path, error))?;
    replace(path, &bytes)
}
