//! The pixels of a TIFF's first page: what the `tiff` crate unpacks, as an image. Palettes are looked up, YCbCr and CMYK become RGB; values of
//! other than 8 and 16 bits become those, or float. What can't be read is named.

use std::io::{Read, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer};
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError, TiffUnsupportedError};

use super::altered::Altered;
use super::directory::{self, pages};
use crate::jpeg;

/// Why a TIFF isn't read.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It may be whole, but isn't of a kind that is read: what it is, in words.
    Unsupported(String),
    /// It isn't whole.
    Broken(String),
}

impl From<TiffError> for Trouble {
    fn from(error: TiffError) -> Self {
        match error {
            TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
                Self::Unsupported(format!("a TIFF with {method:?} compression"))
            }
            TiffError::UnsupportedError(TiffUnsupportedError::ChromaSubsampling) => {
                Self::Unsupported("a TIFF of YCbCr with fewer samples of colour, without JPEG compression".into())
            }
            TiffError::UnsupportedError(TiffUnsupportedError::InterpretationWithBits(kind, bits)) => {
                Self::Unsupported(format!("a TIFF with colours of kind {kind:?} and {bits:?} bits"))
            }
            TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedColorType(colours)) => {
                Self::Unsupported(format!("a TIFF with samples of {} bits ({colours:?})", colours.bit_depth()))
            }
            TiffError::UnsupportedError(other) => Self::Unsupported(format!("a TIFF with this: {other}")),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// What colour pixels have, besides what the decoder says.
enum Colours {
    AsTold,
    /// Red, green and blue of each value.
    Palette(Vec<u16>),
}

/// A TIFF whose first directory has been read.
pub(crate) struct Picture<R: Read + Seek> {
    decoder: Decoder<Altered<R>>,
    colours: Colours,
    /// Height and width in pixels.
    pub(crate) size: [u32; 2],
    /// How viewers turn it.
    pub(crate) orientation: Orientation,
}

/// Values of the tags that are looked at: TIFF 6.0, sections 3 to 8.
mod value {
    pub(super) const BLACK_IS_ZERO: u16 = 1;
    pub(super) const PALETTE: u16 = 3;
    pub(super) const MASK: u16 = 4;
    pub(super) const LOW_BITS_FIRST: u16 = 2;
    pub(super) const GROUP_4: u16 = 4;
    pub(super) const JPEG: u16 = 7;
    pub(super) const PLANES: u16 = 2;
    pub(super) const ALPHA: [u16; 2] = [1, 2];
}

impl<R: Read + Seek> Picture<R> {
    /// Reads the first directory.
    pub(crate) fn open(mut file: R) -> Result<Self, Trouble> {
        let first = pages(&mut file, 1)?.pop();
        let mut decoder = Decoder::new(Altered::new(file)?)?;
        let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation)?;
        let mut colours = Colours::AsTold;
        if photometric == Some(value::PALETTE) {
            let bits = decoder.find_tag_unsigned_vec::<u16>(Tag::BitsPerSample)?.unwrap_or_else(|| vec![1]);
            let map = decoder.find_tag_unsigned_vec::<u16>(Tag::ColorMap)?.unwrap_or_default();
            if bits.len() != 1 || bits[0] > 8 || map.len() != 3 << bits[0] {
                return Err(Trouble::Unsupported(format!("a TIFF with a palette of {} values and {bits:?} bits", map.len())));
            }
            colours = Colours::Palette(map);
        }
        let (mut bytes, mut reversed) = (Vec::new(), Vec::new());
        // The decoder refuses both kinds, of which values are stored as those of grey.
        if matches!(photometric, Some(value::PALETTE | value::MASK))
            && let Some(entry) = first.and_then(|page| page.entry(directory::tag::PHOTOMETRIC))
        {
            let grey = match decoder.byte_order() {
                tiff::tags::ByteOrder::LittleEndian => value::BLACK_IS_ZERO.to_le_bytes(),
                tiff::tags::ByteOrder::BigEndian => value::BLACK_IS_ZERO.to_be_bytes(),
            };
            bytes.extend((entry.at..).zip(grey));
        }
        if decoder.find_tag_unsigned::<u16>(Tag::FillOrder)? == Some(value::LOW_BITS_FIRST) {
            let compression = decoder.find_tag_unsigned::<u16>(Tag::Compression)?.unwrap_or(1);
            if ![1, value::GROUP_4].contains(&compression) {
                return Err(Trouble::Unsupported("a compressed TIFF with the order of bits (FillOrder) reversed".into()));
            }
            let (offsets, counts) = parts(&mut decoder)?;
            reversed.extend(offsets.into_iter().zip(counts).map(|(at, count)| at..at.saturating_add(count)));
        }
        if !bytes.is_empty() || !reversed.is_empty() {
            let file = decoder.inner();
            (file.bytes, file.reversed) = (bytes, reversed);
            // The directory is read anew, with the changes.
            decoder.seek_to_image(0)?;
        }
        let (width, height) = decoder.dimensions()?;
        let orientation = decoder.find_tag_unsigned::<u16>(Tag::Orientation)?;
        let orientation = orientation.and_then(|number| Orientation::from_exif(number.try_into().unwrap_or(0)));
        let orientation = orientation.unwrap_or(Orientation::NoTransforms);
        Ok(Self { decoder, colours, size: [height, width], orientation })
    }

    /// The pixels, unpacked with no more than `working` bytes beside them.
    pub(crate) fn read(self, working: u64) -> Result<DynamicImage, Trouble> {
        let Self { decoder, colours, size: [height, width], .. } = self;
        let mut limits = Limits::default();
        limits.intermediate_buffer_size = usize::try_from(working).unwrap_or(usize::MAX);
        limits.ifd_value_size = limits.intermediate_buffer_size;
        // Four channels of 64 bits: nothing that is read has more.
        limits.decoding_buffer_size = usize::try_from(u64::from(width) * u64::from(height) * 32).unwrap_or(usize::MAX);
        let mut decoder = decoder.with_limits(limits);
        let colour = decoder.colortype()?;
        let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples)?.unwrap_or_default();
        // Its decoder panics where tiles go beyond the picture.
        if decoder.get_chunk_type() == ChunkType::Tile
            && decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration)? == Some(value::PLANES)
        {
            return Err(Trouble::Unsupported("a TIFF of tiles with a plane for each colour".into()));
        }
        let jpeg = decoder.find_tag_unsigned::<u16>(Tag::Compression)? == Some(value::JPEG);
        if jpeg {
            check_jpegs(&mut decoder)?;
        }
        let alpha = extra.first().is_some_and(|first| value::ALPHA.contains(first));
        let channels = match colour {
            ColorType::Gray(_) => Channels { stored: 1, kind: Kind::Grey, alpha: false },
            // The decoder of JPEG takes two channels for something else.
            ColorType::Multiband { num_samples: 2, .. } if alpha && !jpeg => {
                Channels { stored: 2, kind: Kind::Grey, alpha: true }
            }
            ColorType::RGB(_) => Channels { stored: 3, kind: Kind::Rgb, alpha: false },
            ColorType::RGBA(_) => Channels { stored: 4, kind: Kind::Rgb, alpha: true },
            ColorType::YCbCr(8) => Channels { stored: 3, kind: Kind::YCbCr, alpha: false },
            ColorType::CMYK(8 | 16) => Channels { stored: 4, kind: Kind::Cmyk, alpha: false },
            ColorType::Multiband { num_samples, .. } => {
                return Err(Trouble::Unsupported(format!("a TIFF of {num_samples} channels that its tags don't call colours")));
            }
            other => return Err(Trouble::Unsupported(format!("a TIFF with colours of kind {other:?}"))),
        };
        let mut values = DecodingResult::U8(Vec::new());
        let layout = decoder.read_image_to_buffer(&mut values)?;
        if values.as_buffer(0).as_bytes().len() < layout.complete_len {
            return Err(Trouble::Broken("it has more values than its size needs".into()));
        }
        let picture = Values { width, height, channels, planar: layout.planes > 1, colours };
        match values {
            DecodingResult::U8(values) if colour.bit_depth() < 8 => {
                let bits = colour.bit_depth();
                let row = layout.row_stride.map_or(1, |stride| stride.get());
                picture.bytes(unpacked(&values, row, width as usize, bits), bits)
            }
            DecodingResult::U8(values) => picture.bytes(values, 8),
            DecodingResult::U16(values) => picture.words(values),
            DecodingResult::F16(values) => picture.floats(values.into_iter().map(f32::from).collect()),
            DecodingResult::F32(values) => picture.floats(values),
            DecodingResult::F64(values) => picture.floats(values.into_iter().map(|value| value as f32).collect()),
            DecodingResult::U32(values) => picture.integers(values),
            DecodingResult::U64(values) => picture.integers(values),
            DecodingResult::I8(values) => picture.integers(values),
            DecodingResult::I16(values) => picture.integers(values),
            DecodingResult::I32(values) => picture.integers(values),
            DecodingResult::I64(values) => picture.integers(values),
        }
    }
}

/// Where the strips or tiles are, and their bytes.
fn parts<R: Read + Seek>(decoder: &mut Decoder<Altered<R>>) -> Result<(Vec<u64>, Vec<u64>), Trouble> {
    let [offsets, counts] = match decoder.get_chunk_type() {
        ChunkType::Strip => [Tag::StripOffsets, Tag::StripByteCounts],
        ChunkType::Tile => [Tag::TileOffsets, Tag::TileByteCounts],
    };
    Ok((decoder.get_tag_u64_vec(offsets)?, decoder.get_tag_u64_vec(counts)?))
}

/// Walks over the JPEG data of all strips or tiles, which share tables of codes.
fn check_jpegs<R: Read + Seek>(decoder: &mut Decoder<Altered<R>>) -> Result<(), Trouble> {
    let tables = decoder.find_tag(Tag::JPEGTables)?.map(|tables| tables.into_u8_vec()).transpose()?.unwrap_or_default();
    let (width, height) = decoder.chunk_dimensions();
    let (offsets, counts) = parts(decoder)?;
    for (number, (at, count)) in offsets.into_iter().zip(counts).enumerate() {
        let mut data = Vec::new();
        decoder.inner().seek(SeekFrom::Start(at))?;
        decoder.inner().take(count).read_to_end(&mut data)?;
        // Both begin with the marker of a start, and the tables end with that of an end.
        if let (Some(shared), Some(own)) = (tables.get(..tables.len().saturating_sub(2)), data.get(2..))
            && !shared.is_empty()
        {
            data = [shared, own].concat();
        }
        if let Some(damage) = jpeg::damage(&data, [height as usize, width as usize]) {
            return Err(Trouble::Broken(format!("part {} of it, a JPEG: {damage}", number + 1)));
        }
    }
    Ok(())
}

/// Values of less than 8 bits, one a byte.
fn unpacked(packed: &[u8], row: usize, width: usize, bits: u8) -> Vec<u8> {
    let (each, most) = (usize::from(8 / bits), (1_u16 << bits) - 1);
    let value = |row: &[u8], x: usize| {
        let shift = 8 - bits * (x % each + 1) as u8;
        (u16::from(row.get(x / each).copied().unwrap_or(0)) >> shift & most) as u8
    };
    packed.chunks_exact(row.max(1)).flat_map(|row| (0..width).map(move |x| value(row, x))).collect()
}

/// What the values of a pixel are.
#[derive(Clone, Copy)]
enum Kind {
    Grey,
    Rgb,
    YCbCr,
    Cmyk,
}

#[derive(Clone, Copy)]
struct Channels {
    /// Values of a pixel.
    stored: usize,
    kind: Kind,
    /// Whether the last is alpha.
    alpha: bool,
}

/// What is known of a picture's values.
struct Values {
    width: u32,
    height: u32,
    channels: Channels,
    /// Whether all values of a channel come before those of the next.
    planar: bool,
    colours: Colours,
}

impl Values {
    /// Values of up to `bits` bits.
    fn bytes(self, values: Vec<u8>, bits: u8) -> Result<DynamicImage, Trouble> {
        if let Colours::Palette(map) = &self.colours {
            let colours = map.len() / 3;
            let colour = |value: &u8| [0, 1, 2].map(|channel| map.get(channel * colours + usize::from(*value)).copied());
            // Some writers fill in 8 of the 16 bits.
            let narrow = map.iter().all(|&value| value < 256);
            let byte = |value: Option<u16>| value.map_or(0, |value| if narrow { value as u8 } else { (value >> 8) as u8 });
            let rgb: Vec<u8> = values.iter().flat_map(|value| colour(value).map(byte)).collect();
            return made(ImageBuffer::from_raw(self.width, self.height, rgb).map(DynamicImage::ImageRgb8));
        }
        let mut values = self.interleaved(values);
        if bits < 8 {
            let most = (1_u16 << bits) - 1;
            values.iter_mut().for_each(|value| *value = (u16::from(*value) * 255 / most) as u8);
        }
        let Self { width, height, channels, .. } = self;
        made(match (channels.kind, channels.alpha) {
            (Kind::Grey, false) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageLuma8),
            (Kind::Grey, true) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageLumaA8),
            (Kind::Rgb, false) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb8),
            (Kind::Rgb, true) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgba8),
            (Kind::YCbCr, _) => {
                values.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = of_ycbcr(*pixel));
                ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb8)
            }
            (Kind::Cmyk, _) => {
                let values = values
                    .as_chunks()
                    .0
                    .iter()
                    .flat_map(|pixel: &[u8; 4]| of_cmyk(pixel.map(u32::from), 255).map(|value| value as u8));
                ImageBuffer::from_raw(width, height, values.collect()).map(DynamicImage::ImageRgb8)
            }
        })
    }

    fn words(self, values: Vec<u16>) -> Result<DynamicImage, Trouble> {
        let values = self.interleaved(values);
        let Self { width, height, channels, .. } = self;
        made(match (channels.kind, channels.alpha) {
            (Kind::Grey, false) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageLuma16),
            (Kind::Grey, true) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageLumaA16),
            (Kind::Rgb, false) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb16),
            (Kind::Rgb, true) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgba16),
            (Kind::YCbCr, _) => None,
            (Kind::Cmyk, _) => {
                let values = values
                    .as_chunks()
                    .0
                    .iter()
                    .flat_map(|pixel: &[u16; 4]| of_cmyk(pixel.map(u32::from), 65535).map(|value| value as u16));
                ImageBuffer::from_raw(width, height, values.collect()).map(DynamicImage::ImageRgb16)
            }
        })
    }

    /// Grey is repeated.
    fn floats(self, values: Vec<f32>) -> Result<DynamicImage, Trouble> {
        let values = self.interleaved(values);
        let Self { width, height, channels, .. } = self;
        made(match (channels.kind, channels.alpha) {
            (Kind::Grey, _) => {
                let values = values.iter().step_by(channels.stored).flat_map(|&value| [value; 3]).collect();
                ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb32F)
            }
            (Kind::Rgb, false) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgb32F),
            (Kind::Rgb, true) => ImageBuffer::from_raw(width, height, values).map(DynamicImage::ImageRgba32F),
            (Kind::YCbCr | Kind::Cmyk, _) => None,
        })
    }

    /// Whole numbers with a sign or of more than 16 bits, which may be classes: as values of 16 bits if all are from 0 to 65535.
    fn integers<T: Copy + TryInto<u16>>(self, values: Vec<T>) -> Result<DynamicImage, Trouble> {
        let bits = 8 * size_of::<T>();
        let unfit = || Trouble::Unsupported(format!("a TIFF of {bits}-bit whole numbers, not all from 0 to 65535"));
        let words = values.into_iter().map(|value| value.try_into().map_err(|_| unfit())).collect::<Result<Vec<u16>, _>>()?;
        self.words(words)
    }

    /// All values of a pixel beside each other.
    fn interleaved<T: Copy>(&self, values: Vec<T>) -> Vec<T> {
        let pixels = self.width as usize * self.height as usize;
        if !self.planar || values.len() < pixels * self.channels.stored {
            return values;
        }
        (0..pixels)
            .flat_map(|at| (0..self.channels.stored).map(move |channel| channel * pixels + at))
            .map(|at| values[at])
            .collect()
    }
}

/// Where values are as many as pixels need.
fn made(image: Option<DynamicImage>) -> Result<DynamicImage, Trouble> {
    image.ok_or_else(|| Trouble::Broken("it has not as many values as its size needs".into()))
}

/// RGB of YCbCr with the whole range, as JPEG has it: ITU-T T.871, section 7.
fn of_ycbcr([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let [y, cb, cr] = [f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0];
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// RGB of ink, as the `image` crate has it for JPEG: light goes through all of it.
fn of_cmyk([cyan, magenta, yellow, black]: [u32; 4], most: u32) -> [u32; 3] {
    [cyan, magenta, yellow]
        .map(|ink| ((u64::from(most - ink) * u64::from(most - black) + u64::from(most) / 2) / u64::from(most)) as u32)
}
