//! Reads one image file into plain 8-bit pixels, within a limit that is checked before anything is allocated.
//! Knows nothing of pairs: `decode` compares an image with its mask.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, ImageResult, Limits};
use pipeline_contract::{Result, StageError};

use crate::assign::assign;
use crate::guard::guarded;
use crate::labels::Labels;
use crate::values::narrow;
use crate::{jpeg, tiff};

/// A file whose header has been read.
pub(crate) struct Opened<'a> {
    /// What messages call it.
    pub(crate) path: PathBuf,
    decoder: Box<dyn ImageDecoder + 'a>,
    /// Height in pixels.
    pub(crate) height: usize,
    /// Width in pixels.
    pub(crate) width: usize,
}

/// Working memory that a decoder may take beside the pixels, in bytes: for what a header holds, and for what is being unpacked.
const WORKING: u64 = 64 << 20;

/// Bytes of a pixel in the widest colour type, four channels of 32 bit.
const WIDEST: u64 = 16;

const RAISE: &str = "raise `max_pixels` of the decode stage if the file is right; otherwise exclude this sample";

const DAMAGED: &str = "the file is truncated or damaged: copy or download it again, or exclude this sample";

/// Reads a file's header; the format is decided by its content, whatever its name says.
///
/// # Errors
/// When there is no such file, it is no regular one, it is empty or too large, it is no image, or it has more than `max_pixels` pixels.
pub(crate) fn open(path: &Path, max_pixels: u64) -> Result<Opened<'static>> {
    let unreadable = |error| unreadable(path, error);
    // Checked before it is opened: opening a pipe waits for a writer, and a device never ends.
    let kind = std::fs::metadata(path).map_err(unreadable)?;
    if !kind.is_file() {
        let what = if kind.is_dir() { "a folder" } else { "not a regular file" };
        return Err(StageError::new(format!("{} can't be read: it is {what}", path.display()))
            .help("an image is a file; exclude this sample, or move it away"));
    }
    header(BufReader::new(File::open(path).map_err(unreadable)?), path, max_pixels)
}

/// As [`open`], of a file that is called `name` in messages.
pub(crate) fn header<'a, R: BufRead + Seek + 'a>(mut file: R, name: &Path, max_pixels: u64) -> Result<Opened<'a>> {
    let (shown, unreadable) = (name.display(), |error| unreadable(name, error));
    let most = max_pixels.saturating_mul(WIDEST).saturating_add(WORKING);
    let length = file.seek(SeekFrom::End(0)).and_then(|length| file.rewind().map(|()| length)).map_err(unreadable)?;
    if length == 0 {
        return Err(StageError::new(format!("{shown} is empty (0 bytes)")).help(DAMAGED));
    }
    // Some decoders read the whole file first.
    if length > most {
        return Err(StageError::new(format!("{shown} has {length} bytes, more than an image of {max_pixels} pixels can have"))
            .help(RAISE));
    }
    let guessed = ImageReader::new(file).with_guessed_format().map_err(unreadable)?;
    let Some(format) = guessed.format().filter(ImageFormat::reading_enabled) else {
        return Err(StageError::new(format!("{shown} is no PNG, JPEG, TIFF, GIF, PPM, PGM or PBM image"))
            .help("convert it to one of these, or exclude this sample"));
    };
    let mut file = guessed.into_inner();
    let wrong = match format {
        ImageFormat::Jpeg if !jpeg::is_complete(&mut file).map_err(unreadable)? => Some("the file ends before the image does"),
        ImageFormat::Tiff if !tiff::is_plausible(&mut file, length).map_err(unreadable)? => {
            Some("its directory claims more data than the file has")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(StageError::new(format!("{shown} can't be decoded: {wrong}")).help(DAMAGED));
    }
    file.rewind().map_err(unreadable)?;
    let mut reader = ImageReader::with_format(file, format);
    // The header first, on little memory: what it says of the picture is checked before the picture may take any.
    reader.limits(at_most(WORKING));
    let mut decoder = decoded(name, || reader.into_decoder())?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(StageError::new(format!("{shown} has no pixels: it is {width} x {height}")).help(DAMAGED));
    }
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(StageError::new(format!("{shown} claims {width} x {height} pixels, more than {max_pixels}")).help(RAISE));
    }
    decoder.set_limits(at_most(decoder.total_bytes().saturating_add(WORKING))).map_err(|error| broken(name, &error))?;
    Ok(Opened { path: name.into(), decoder: Box::new(decoder), height: height as usize, width: width as usize })
}

/// Limits of memory alone.
fn at_most(bytes: u64) -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(bytes);
    limits
}

fn unreadable(path: &Path, error: std::io::Error) -> StageError {
    StageError::new(format!("{} can't be read: {error}", path.display()))
}

fn broken(path: &Path, error: &dyn Display) -> StageError {
    StageError::new(format!("{} can't be decoded: {error}", path.display())).help(DAMAGED)
}

/// What a decoder makes of a file.
fn decoded<T>(path: &Path, work: impl FnOnce() -> ImageResult<T>) -> Result<T> {
    match guarded(work) {
        Ok(made) => made.map_err(|error| broken(path, &error)),
        Err(panic) => Err(broken(path, &panic)),
    }
}

impl Opened<'_> {
    /// Decodes as RGB, `[height, width, 3]`. Alpha is dropped, grey is repeated, wider channels are rounded to 8 bit.
    pub(crate) fn rgb(self) -> Result<Vec<u8>> {
        let rgb = match self.pixels()? {
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
        };
        Ok(exact(rgb))
    }

    /// Decodes as a mask, `[height, width]`: 255 where channel 0 is above half of its range, else 0. In a mask with no value but 0 and 1,
    /// 1 is above.
    pub(crate) fn mask(self) -> Result<Vec<u8>> {
        let path = self.path.clone();
        let mask = self.cut()?;
        let path = path.display();
        if mask.max > 1 && mask.max <= mask.half {
            let (max, half) = (mask.max, mask.half);
            tracing::warn!(
                "the mask {path} holds no value above {max}: none of it is vessel, which is above {half}. If its values are classes, \
                 name them in `labels` of the decode stage"
            );
        }
        if mask.hides_colours {
            tracing::warn!(
                "the mask {path} has colours, and only those with red count as vessel. Name its colours in `labels` of the decode stage"
            );
        }
        Ok(exact(mask.pixels))
    }

    /// The same without a word on what it looks like.
    pub(crate) fn quiet_mask(self) -> Result<Vec<u8>> {
        Ok(self.cut()?.pixels)
    }

    fn cut(self) -> Result<Mask> {
        let pixels = self.pixels()?;
        let channels = usize::from(pixels.color().channel_count());
        Ok(match pixels {
            DynamicImage::ImageLuma16(pixels) => wide_mask(&pixels, channels),
            DynamicImage::ImageLumaA16(pixels) => wide_mask(&pixels, channels),
            DynamicImage::ImageRgb16(pixels) => wide_mask(&pixels, channels),
            DynamicImage::ImageRgba16(pixels) => wide_mask(&pixels, channels),
            DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => narrow_mask(pixels.to_rgb8().into_raw(), 3),
            narrow => narrow_mask(narrow.into_bytes(), channels),
        })
    }

    /// Decodes as class numbers, `[height, width]`.
    pub(crate) fn classes(self, labels: &Labels) -> Result<Vec<u8>> {
        let (path, width) = (self.path.clone(), self.width);
        assign(self.pixels()?, labels).map(exact).map_err(|unlabelled| unlabelled.error(path.display(), width))
    }

    fn pixels(self) -> Result<DynamicImage> {
        let Self { path, decoder, .. } = self;
        decoded(&path, || DynamicImage::from_decoder(decoder))
    }
}

struct Mask {
    pixels: Vec<u8>,
    max: u16,
    half: u16,
    /// Whether green or blue is bright where red isn't.
    hides_colours: bool,
}

/// Whether a pixel would be vessel by another channel than 0. Channels that differ by less than a quarter of the range are a JPEG's noise on grey.
fn hides_colours<T: Copy + Into<u32>>(values: &[T], channels: usize, half: u32) -> bool {
    let bright = |first: u32, other: u32| first <= half && other > half && other - first > half / 2;
    channels >= 3
        && values.chunks_exact(channels).any(|pixel| {
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(Into::into);
            bright(red, green) || bright(red, blue)
        })
}

/// All of a pixel's share, or nothing.
fn on(vessel: bool) -> u8 {
    if vessel { 255 } else { 0 }
}

/// Channel 0 above half of the range, in the buffer that holds the pixels already.
fn narrow_mask(pixels: Vec<u8>, channels: usize) -> Mask {
    let hides_colours = hides_colours(&pixels, channels, 127);
    let mut pixels = keep_first(pixels, channels, 1);
    let max = pixels.iter().copied().max().unwrap_or(0);
    let half = if max == 1 { 0 } else { 127 };
    pixels.iter_mut().for_each(|value| *value = on(*value > half));
    Mask { pixels, max: max.into(), half: half.into(), hides_colours }
}

fn wide_mask(values: &[u16], channels: usize) -> Mask {
    let first = || values.iter().step_by(channels).copied();
    let max = first().max().unwrap_or(0);
    let half = if max == 1 { 0 } else { 32767 };
    let hides_colours = hides_colours(values, channels, 32767);
    Mask { pixels: first().map(|value| on(value > half)).collect(), max, half, hides_colours }
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
            assert_eq!(open(&written(dir.path(), hex), 4).unwrap().mask().unwrap(), [0, 255, 255, 0], "{hex}");
        }
    }

    #[test]
    fn colours_that_binary_masks_pass_over_are_noticed() {
        for (pixel, hidden) in [
            ([0, 0, 255], true),
            ([0, 128, 0], true),
            ([255, 0, 0], false),
            ([255, 255, 0], false),
            ([0, 0, 0], false),
            ([120, 135, 130], false),
        ] {
            assert_eq!(narrow_mask(vec![0, 0, 0, pixel[0], pixel[1], pixel[2]], 3).hides_colours, hidden, "{pixel:?}");
            let wide: Vec<u16> = pixel.iter().map(|&value| u16::from(value) * 257).collect();
            assert_eq!(wide_mask(&wide, 3).hides_colours, hidden, "{pixel:?}");
        }
        // Alpha is no colour.
        assert!(!narrow_mask(vec![0, 255], 2).hides_colours && !narrow_mask(vec![0, 0, 0, 255], 4).hides_colours);
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
