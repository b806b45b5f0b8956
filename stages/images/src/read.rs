//! Reads one image file into plain 8-bit pixels, within a limit that is checked before anything is allocated.
//! Knows nothing of pairs: `decode` compares an image with its mask.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::error::{UnsupportedError, UnsupportedErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult, Limits};
use pipeline_contract::{Result, StageError};

use crate::assign::assign;
use crate::guard::guarded;
use crate::labels::Labels;
use crate::plausible;
use crate::told::Told;
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
    /// How viewers turn it; not applied.
    pub(crate) orientation: Orientation,
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
    let big = tiff::is_big(&mut file).map_err(unreadable)?;
    let guessed = ImageReader::new(file).with_guessed_format().map_err(unreadable)?;
    let guess = if big { Some(ImageFormat::Tiff) } else { guessed.format() };
    let Some(format) = guess.filter(ImageFormat::reading_enabled) else {
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
    if format == ImageFormat::Jpeg
        && let Some(what) = jpeg::unsupported(&mut file).map_err(unreadable)?
    {
        return Err(unsupported(name, &what));
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
    let orientation =
        guarded(|| decoder.orientation()).map_err(|panic| broken(name, &panic))?.unwrap_or(Orientation::NoTransforms);
    decoder.set_limits(at_most(decoder.total_bytes().saturating_add(WORKING))).map_err(|error| broken(name, &error))?;
    Ok(Opened { path: name.into(), decoder: Box::new(decoder), height: height as usize, width: width as usize, orientation })
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

/// What is not supported, in words: the decoder's own tell nothing of colours that it doesn't know.
fn kind_of(error: &UnsupportedError) -> String {
    match error.kind() {
        UnsupportedErrorKind::Color(ExtendedColorType::Unknown(bits)) => {
            format!("{bits} bits a pixel, neither grey nor RGB of 8 or 16 bits (YCbCr, CMYK or grey float, for example)")
        }
        _ => error.to_string(),
    }
}

fn unsupported(path: &Path, error: &dyn Display) -> StageError {
    StageError::new(format!("{} is of a kind that is not supported: {error}", path.display()))
        .help("convert it to a PNG or TIFF of 8 or 16 bits a channel, or exclude this sample")
}

/// What a decoder makes of a file.
fn decoded<T>(path: &Path, work: impl FnOnce() -> ImageResult<T>) -> Result<T> {
    match guarded(work) {
        Ok(Err(ImageError::Unsupported(error))) => Err(unsupported(path, &kind_of(&error))),
        Ok(made) => made.map_err(|error| broken(path, &error)),
        Err(panic) => Err(broken(path, &panic)),
    }
}

impl Opened<'_> {
    /// Decodes as a photograph that is likely to be one: see [`plausible::photograph`]. Otherwise as [`rgb`](Self::rgb).
    pub(crate) fn photograph(self, told: &Told) -> Result<Vec<u8>> {
        let path = self.path.clone();
        let pixels = self.pixels()?;
        told.tell(&path, plausible::photograph(path.display(), &pixels)?);
        Ok(rgb(pixels))
    }

    /// Decodes as RGB, `[height, width, 3]`. Alpha is dropped, grey is repeated, wider channels are rounded to 8 bit.
    pub(crate) fn rgb(self) -> Result<Vec<u8>> {
        self.pixels().map(rgb)
    }

    /// Decodes as a mask that is likely to be one: see [`plausible::mask`]. Otherwise as [`quiet_mask`](Self::quiet_mask).
    pub(crate) fn mask(self, told: &Told) -> Result<Vec<u8>> {
        let path = self.path.clone();
        let pixels = self.pixels()?;
        told.tell(&path, plausible::mask(path.display(), &pixels)?);
        Ok(exact(cut(pixels)))
    }

    /// Decodes as a mask, `[height, width]`: 255 where channel 0 is above half of its range, else 0. In a mask with no value but 0 and 1,
    /// 1 is above.
    pub(crate) fn quiet_mask(self) -> Result<Vec<u8>> {
        self.pixels().map(cut)
    }

    /// Decodes as class numbers, `[height, width]`.
    pub(crate) fn classes(self, labels: &Labels) -> Result<Vec<u8>> {
        let (path, width) = (self.path.clone(), self.width);
        let pixels = self.pixels()?;
        plausible::labelled(path.display(), &pixels)?;
        assign(pixels, labels).map(exact).map_err(|unlabelled| unlabelled.error(path.display(), width))
    }

    fn pixels(self) -> Result<DynamicImage> {
        let Self { path, decoder, .. } = self;
        decoded(&path, || DynamicImage::from_decoder(decoder))
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
    let half = if pixels.iter().all(|&value| value <= 1) { 0 } else { 127 };
    pixels.iter_mut().for_each(|value| *value = on(*value > half));
    pixels
}

fn wide_mask(values: &[u16], channels: usize) -> Vec<u8> {
    let first = || values.iter().step_by(channels).copied();
    let half = if first().all(|value| value <= 1) { 0 } else { 32767 };
    first().map(|value| on(value > half)).collect()
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
