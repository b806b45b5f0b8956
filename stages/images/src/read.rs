//! A picture file of which the header has been read, and its pixels as 8-bit RGB, as a mask, as classes. How a file is opened is in `open`;
//! `decode` compares an image with its mask.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use image::error::{UnsupportedError, UnsupportedErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageError, ImageResult};
use pipeline_contract::{Result, StageError};

use crate::assign::assign;
use crate::guard::guarded;
use crate::labels::Labels;
use crate::plausible;
use crate::stamp::{Check, Stamp};
use crate::told::Told;
use crate::values::narrow;

/// A file whose header has been read.
pub(crate) struct Opened<'a> {
    /// What messages call it.
    pub(crate) path: PathBuf,
    /// Makes its pixels.
    pub(crate) pixels: Box<dyn FnOnce() -> Result<DynamicImage> + 'a>,
    /// Height in pixels.
    pub(crate) height: usize,
    /// Width in pixels.
    pub(crate) width: usize,
    /// How viewers turn it; not applied.
    pub(crate) orientation: Orientation,
    /// The file as it was when it was opened, if it is one.
    pub(crate) stamp: Option<Stamp>,
}

pub(crate) const DAMAGED: &str = "the file is truncated or damaged: copy or download it again, or exclude this sample";

pub(crate) fn broken(path: &Path, error: &dyn Display) -> StageError {
    StageError::new(format!("{} can't be decoded: {error}", path.display())).help(DAMAGED)
}

/// What is not supported, in words: the decoder's own tell nothing of colours that it doesn't know.
fn kind_of(error: &UnsupportedError) -> String {
    match error.kind() {
        UnsupportedErrorKind::Color(ExtendedColorType::Unknown(bits)) => {
            format!("{bits} bits a pixel, neither grey nor RGB of 8 or 16 bits (YCbCr, CMYK or grey float, for example)")
        }
        _ => error.to_string(),
    }
}

pub(crate) fn unsupported(path: &Path, error: &dyn Display) -> StageError {
    StageError::new(format!("{} is of a kind that is not supported: {error}", path.display())).help(
        "convert it to a PNG or TIFF of 8 or 16 bits a channel (ImageMagick: convert FILE FILE.png), or exclude this sample",
    )
}

/// What a decoder makes of a file.
pub(crate) fn decoded<T>(path: &Path, work: impl FnOnce() -> ImageResult<T>) -> Result<T> {
    match guarded(work) {
        Ok(Err(ImageError::Unsupported(error))) => Err(unsupported(path, &kind_of(&error))),
        Ok(made) => made.map_err(|error| broken(path, &error)),
        Err(panic) => Err(broken(path, &panic)),
    }
}

impl Opened<'_> {
    /// Decodes as a photograph that is likely to be one: see [`plausible::photograph`]. Otherwise as [`rgb`](Self::rgb).
    pub(crate) fn photograph(self, told: &Told) -> Result<Vec<u8>> {
        let pixels = (self.pixels)()?;
        told.tell(&self.path, plausible::photograph(self.path.display(), &pixels)?);
        Ok(rgb(pixels))
    }

    /// Decodes as RGB, `[height, width, 3]`. Alpha is dropped, grey is repeated, wider channels are rounded to 8 bit.
    pub(crate) fn rgb(self) -> Result<Vec<u8>> {
        (self.pixels)().map(rgb)
    }

    /// Decodes as a mask that is likely to be one: see [`plausible::mask`]. Otherwise as [`quiet_mask`](Self::quiet_mask).
    ///
    /// A file that was found likely, without a doubt, isn't looked at again while it stays as it is.
    pub(crate) fn mask(self, told: &Told) -> Result<Vec<u8>> {
        let pixels = (self.pixels)()?;
        if !self.stamp.is_some_and(|stamp| stamp.passed(Check::Mask)) {
            let doubt = plausible::mask(self.path.display(), &pixels)?;
            if let (None, Some(stamp)) = (&doubt, self.stamp) {
                stamp.pass(Check::Mask);
            }
            told.tell(&self.path, doubt);
        }
        Ok(exact(cut(pixels)))
    }

    /// Decodes as a mask, `[height, width]`: 255 where channel 0 is above half of its range, else 0. Of exactly two values the
    /// larger is above, whatever they are.
    pub(crate) fn quiet_mask(self) -> Result<Vec<u8>> {
        (self.pixels)().map(cut)
    }

    /// Decodes as class numbers, `[height, width]`.
    pub(crate) fn classes(self, labels: &Labels) -> Result<Vec<u8>> {
        let pixels = (self.pixels)()?;
        plausible::labelled(self.path.display(), &pixels)?;
        assign(pixels, labels).map(exact).map_err(|unlabelled| unlabelled.error(self.path.display(), self.width))
    }
}

fn rgb(pixels: DynamicImage) -> Vec<u8> {
    exact(match pixels {
        DynamicImage::ImageRgb8(pixels) => pixels.into_raw(),
        DynamicImage::ImageRgba8(pixels) => keep_first(pixels.into_raw(), 4, 3),
        DynamicImage::ImageLuma8(pixels) => repeat(&pixels, 1),
        DynamicImage::ImageLumaA8(pixels) => repeat(&pixels, 2),
        DynamicImage::ImageLuma16(pixels) => pixels.iter().flat_map(|&value| [narrow(value); 3]).collect(),
        DynamicImage::ImageLumaA16(pixels) => pixels.chunks_exact(2).flat_map(|pixel| [narrow(pixel[0]); 3]).collect(),
        DynamicImage::ImageRgb16(pixels) => pixels.iter().map(|&value| narrow(value)).collect(),
        DynamicImage::ImageRgba16(pixels) => {
            pixels.chunks_exact(4).flat_map(|pixel| [narrow(pixel[0]), narrow(pixel[1]), narrow(pixel[2])]).collect()
        }
        other => other.to_rgb8().into_raw(),
    })
}

fn cut(pixels: DynamicImage) -> Vec<u8> {
    let channels = usize::from(pixels.color().channel_count());
    match pixels {
        DynamicImage::ImageLuma16(pixels) => wide_mask(&pixels, channels),
        DynamicImage::ImageLumaA16(pixels) => wide_mask(&pixels, channels),
        DynamicImage::ImageRgb16(pixels) => wide_mask(&pixels, channels),
        DynamicImage::ImageRgba16(pixels) => wide_mask(&pixels, channels),
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => narrow_mask(pixels.to_rgb8().into_raw(), 3),
        narrow => narrow_mask(narrow.into_bytes(), channels),
    }
}

/// All of a pixel's share, or nothing.
fn on(vessel: bool) -> u8 {
    if vessel { 255 } else { 0 }
}

/// Channel 0 above half of the range, in the buffer that holds the pixels already.
fn narrow_mask(pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    let mut pixels = keep_first(pixels, channels, 1);
    let half = threshold(pixels.iter().copied(), 127);
    pixels.iter_mut().for_each(|value| *value = on(*value > half));
    pixels
}

fn wide_mask(values: &[u16], channels: usize) -> Vec<u8> {
    let first = || values.iter().step_by(channels).copied();
    let half = threshold(first(), 32767);
    first().map(|value| on(value > half)).collect()
}

/// Above what a value is vessel: of two values the larger is, whatever they are; otherwise what is above `half` is. Of one value, 1 is.
fn threshold<T: Copy + Ord + From<u8>>(mut values: impl Iterator<Item = T>, half: T) -> T {
    let Some(first) = values.next() else { return half };
    let (mut low, mut high) = (first, first);
    for value in values {
        if value == low || value == high {
            continue;
        }
        if low != high {
            return half;
        }
        (low, high) = (low.min(value), high.max(value));
    }
    match low == high {
        true if high <= T::from(1) => T::from(0),
        true => half,
        false => low,
    }
}

/// Keeps the first `keep` of every `channels` values, without a second buffer.
fn keep_first(mut values: Vec<u8>, channels: usize, keep: usize) -> Vec<u8> {
    if channels != keep {
        let pixels = values.len() / channels;
        for at in 0..pixels {
            for channel in 0..keep {
                values[at * keep + channel] = values[at * channels + channel];
            }
        }
        values.truncate(pixels * keep);
    }
    values
}

/// Grey as RGB.
fn repeat(values: &[u8], channels: usize) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / channels * 3);
    values.iter().step_by(channels).for_each(|&value| rgb.extend_from_slice(&[value; 3]));
    rgb
}

/// Gives spare capacity back: budgets count it.
fn exact(mut values: Vec<u8>) -> Vec<u8> {
    values.shrink_to_fit();
    values
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;

    use super::*;
    use crate::open::open;

    // Files of kinds that the `image` crate doesn't write, made with Pillow 13; the pixels are 4 x 1.
    const PNG_1_BIT: &str = "89504e470d0a1a0a0000000d4948445200000004000000010100000000d14732600000000a49444154789c63\
        48000000620061b19879f20000000049454e44ae426082";
    const PNG_PALETTE: &str = "89504e470d0a1a0a0000000d49484452000000040000000102030000008452e75e00000009504c54450a14\
        1ec864320000ff3f7429ef0000000a49444154789c63900400001b001a2ed28dad0000000049454e44ae426082";
    const GIF_PALETTE: &str = "474946383761040001008100000a141ec864320000ff0000002c000000000400010000080700010410102020003b";
    const TIFF_1_BIT_GROUP_4: &str = "49492a000e00000004a0020020020900000103000100000004000000010103000100000001000000020103\
        0001000000010000000301030001000000040000000601030001000000010000001101040001000000080000001601030001000000010000001701\
        040001000000050000001c010300010000000100000000000000";
    const TIFF_1_BIT_PACKBITS: &str = "49492a000a0000000060090000010300010000000400000001010300010000000100000002010300010000\
        00010000000301030001000000058000000601030001000000010000001101040001000000080000001601030001000000010000001701040001\
        000000020000001c010300010000000100000000000000";
    const TIFF_8_BIT_PACKBITS: &str = "49492a000e0000000300ffff00000900000103000100000004000000010103000100000001000000020103\
        0001000000080000000301030001000000058000000601030001000000010000001101040001000000080000001601030001000000010000001701\
        040001000000050000001c010300010000000100000000000000";

    fn written(dir: &Path, hex: &str) -> PathBuf {
        let digits: Vec<u8> = hex.bytes().filter_map(|digit| char::from(digit).to_digit(16)).map(|digit| digit as u8).collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|two| two[0] * 16 + two[1]).collect();
        std::fs::write(dir.join("file"), bytes).unwrap();
        dir.join("file")
    }

    #[test]
    fn masks_of_1_bit_and_packed_ones_are_read() {
        let dir = tempdir().unwrap();
        for hex in [PNG_1_BIT, TIFF_1_BIT_GROUP_4, TIFF_1_BIT_PACKBITS, TIFF_8_BIT_PACKBITS] {
            assert_eq!(open(&written(dir.path(), hex), 4).unwrap().mask(&Told::default()).unwrap(), [0, 255, 255, 0], "{hex}");
        }
    }

    #[test]
    fn palettes_are_looked_up() {
        let dir = tempdir().unwrap();
        for hex in [PNG_PALETTE, GIF_PALETTE] {
            let pixels = open(&written(dir.path(), hex), 4).unwrap().rgb().unwrap();
            assert_eq!(pixels, [10, 20, 30, 200, 100, 50, 0, 0, 255, 200, 100, 50], "{hex}");
        }
    }
}
