//! Reads the common kinds of PNG faster than the `png` crate: 8 bits a channel, not interlaced, without a palette. Two rows with Paeth's filter are
//! unfiltered side by side, since each alone waits for its own last pixel; photographs consist of such rows. Whatever else a file is, and whatever
//! is wrong with it, is left to that crate.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use image::{DynamicImage, ImageBuffer};

/// The pixels of a file whose header says that it is `height` x `width`; none where the other decoder is to read it.
///
/// All checksums are looked at: those of chunks, and that of the packed data.
pub(crate) fn pixels(file: &[u8], [height, width]: [usize; 2]) -> Option<DynamicImage> {
    let (&[0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'], mut rest) = file.split_first_chunk()? else { return None };
    let mut header = None;
    let mut unpacked = Vec::new();
    let (mut inflate, mut ended) = (Decompress::new(true), false);
    loop {
        let chunk = Chunk::first(rest)?;
        rest = &rest[chunk.data.len() + 12..];
        match &chunk.kind {
            b"IHDR" => {
                let (sides, &[8, colours, 0, 0, 0]) = chunk.data.split_first_chunk::<8>()? else { return None };
                let (&[right, left], _) = sides.as_chunks::<4>() else { return None };
                let sides = [left, right].map(|side| u32::from_be_bytes(side) as usize);
                let channels = match colours {
                    0 => 1,
                    2 => 3,
                    4 => 2,
                    6 => 4,
                    _ => return None,
                };
                if sides != [height, width] || header.is_some() {
                    return None;
                }
                header = Some(channels);
                unpacked.reserve_exact((width * channels + 1) * height);
            }
            b"IDAT" => {
                header?;
                ended = unpack(&mut inflate, chunk.data, &mut unpacked)?;
            }
            b"IEND" => break,
            // A colour that is transparent, and animations.
            b"tRNS" | b"acTL" | b"fcTL" | b"fdAT" => return None,
            // One that must be understood.
            kind if kind[0].is_ascii_uppercase() && kind != b"PLTE" => return None,
            _ => {}
        }
    }
    let channels = header?;
    if !ended || unpacked.len() != (width * channels + 1) * height {
        return None;
    }
    match channels {
        1 => unfilter::<1>(&mut unpacked, width)?,
        2 => unfilter::<2>(&mut unpacked, width)?,
        3 => unfilter::<3>(&mut unpacked, width)?,
        _ => unfilter::<4>(&mut unpacked, width)?,
    }
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    match channels {
        1 => ImageBuffer::from_raw(width, height, unpacked).map(DynamicImage::ImageLuma8),
        2 => ImageBuffer::from_raw(width, height, unpacked).map(DynamicImage::ImageLumaA8),
        3 => ImageBuffer::from_raw(width, height, unpacked).map(DynamicImage::ImageRgb8),
        _ => ImageBuffer::from_raw(width, height, unpacked).map(DynamicImage::ImageRgba8),
    }
}

struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// None where it isn't whole.
    fn first(rest: &'a [u8]) -> Option<Self> {
        let (length, rest) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let checked = rest.get(..length.checked_add(4)?)?;
        let (kind, data) = checked.split_first_chunk()?;
        let mut crc = Crc::new();
        crc.update(checked);
        (rest[checked.len()..].first_chunk() == Some(&crc.sum().to_be_bytes())).then_some(Self { kind: *kind, data })
    }
}

/// Unpacks as much as there is room for; whether the data end there. None where they are broken or too many.
fn unpack(inflate: &mut Decompress, data: &[u8], unpacked: &mut Vec<u8>) -> Option<bool> {
    let before = inflate.total_in();
    loop {
        let read = usize::try_from(inflate.total_in() - before).ok()?;
        let (taken, made) = (inflate.total_in(), inflate.total_out());
        match inflate.decompress_vec(data.get(read..)?, unpacked, FlushDecompress::None).ok()? {
            // What follows the end isn't looked at by the other decoder either.
            Status::StreamEnd => return Some(true),
            _ if inflate.total_in() - before == data.len() as u64 => return Some(false),
            _ if (taken, made) == (inflate.total_in(), inflate.total_out()) => return None,
            _ => {}
        }
    }
}

/// Undoes the filters of rows (PNG, section 9), each of which has its filter's number before it, and takes those numbers out.
fn unfilter<const B: usize>(values: &mut Vec<u8>, width: usize) -> Option<()> {
    let row = width * B;
    let above = vec![0; row + 1];
    let rows = values.len() / (row + 1);
    let mut at = 0;
    while at < rows {
        let (done, rest) = values.split_at_mut(at * (row + 1));
        let above = if at == 0 { &above[1..] } else { &done[done.len() - row..] };
        let (first, rest) = rest.split_at_mut(row + 1);
        let (filter, first) = first.split_first_mut()?;
        at += 1;
        match *filter {
            0 => {}
            1 => left::<B>(first),
            2 => first.iter_mut().zip(above).for_each(|(value, above)| *value = value.wrapping_add(*above)),
            3 => average::<B>(first, above),
            4 => match rest.get_mut(..row + 1).and_then(<[u8]>::split_first_mut) {
                Some((4, second)) => {
                    paeth_twice::<B>(first, second, above);
                    at += 1;
                }
                _ => paeth_once::<B>(first, above),
            },
            _ => return None,
        }
    }
    for at in 0..rows {
        let from = at * (row + 1) + 1;
        values.copy_within(from..from + row, at * row);
    }
    values.truncate(rows * row);
    Some(())
}

fn left<const B: usize>(row: &mut [u8]) {
    let mut before = [0; B];
    for pixel in row.as_chunks_mut::<B>().0 {
        for (value, before) in pixel.iter_mut().zip(before) {
            *value = value.wrapping_add(before);
        }
        before = *pixel;
    }
}

fn average<const B: usize>(row: &mut [u8], above: &[u8]) {
    let mut before = [0; B];
    for (pixel, above) in row.as_chunks_mut::<B>().0.iter_mut().zip(above.as_chunks::<B>().0) {
        for channel in 0..B {
            let mean = (u16::from(before[channel]) + u16::from(above[channel])) / 2;
            pixel[channel] = pixel[channel].wrapping_add(mean as u8);
        }
        before = *pixel;
    }
}

/// The values that Paeth's filter looks at, beside a pixel: before it, and before it in the row above.
#[derive(Clone, Copy)]
struct Beside<const B: usize> {
    before: [i16; B],
    corner: [i16; B],
}

impl<const B: usize> Beside<B> {
    const EDGE: Self = Self { before: [0; B], corner: [0; B] };

    /// Undoes the filter of a pixel below `above`, and moves on by one.
    #[inline(always)]
    fn next(&mut self, pixel: &mut [u8; B], above: [i16; B]) {
        for channel in 0..B {
            let value = (paeth(self.before[channel], above[channel], self.corner[channel]) + i16::from(pixel[channel])) & 255;
            pixel[channel] = value as u8;
            (self.before[channel], self.corner[channel]) = (value, above[channel]);
        }
    }
}

/// Which of three neighbours is nearest to `before + above - corner`.
#[inline(always)]
fn paeth(before: i16, above: i16, corner: i16) -> i16 {
    let (far, near) = (above - corner, before - corner);
    let (to_before, to_above, to_corner) = (far.abs(), near.abs(), (far + near).abs());
    let (other, to_other) = if to_above <= to_corner { (above, to_above) } else { (corner, to_corner) };
    if to_before <= to_other { before } else { other }
}

fn paeth_once<const B: usize>(row: &mut [u8], above: &[u8]) {
    let mut beside = Beside::<B>::EDGE;
    for (pixel, above) in row.as_chunks_mut().0.iter_mut().zip(above.as_chunks::<B>().0) {
        beside.next(pixel, above.map(i16::from));
    }
}

/// Two rows, the second a pixel behind the first.
fn paeth_twice<const B: usize>(first: &mut [u8], second: &mut [u8], above: &[u8]) {
    let (mut upper, mut lower) = (Beside::<B>::EDGE, Beside::<B>::EDGE);
    let [first, second] = [first.as_chunks_mut().0, second.as_chunks_mut().0];
    let ([start, first @ ..], [above_start, above @ ..]) = (first, above.as_chunks::<B>().0) else { return };
    upper.next(start, above_start.map(i16::from));
    let last = second.len() - 1;
    for ((pixel, above), below) in first.iter_mut().zip(above).zip(&mut second[..last]) {
        let between = upper.before;
        upper.next(pixel, above.map(i16::from));
        lower.next(below, between);
    }
    lower.next(&mut second[last], upper.before);
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    use image::{GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};

    use super::*;

    /// A picture with edges, shades and noise.
    fn at(x: u32, y: u32, channel: u32) -> u8 {
        let noise = (x * 7919 + y * 104_729 + channel * 31) ^ (x * y);
        (x * 5 + y * 3 + channel * 40 + noise % 9 + if (x / 7 + y / 5).is_multiple_of(2) { 90 } else { 0 }) as u8
    }

    fn drawn(width: u32, height: u32) -> [DynamicImage; 4] {
        [
            GrayImage::from_fn(width, height, |x, y| Luma([at(x, y, 0)])).into(),
            DynamicImage::ImageLumaA8(ImageBuffer::from_fn(width, height, |x, y| {
                LumaA([0, 1].map(|channel| at(x, y, channel)))
            })),
            RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|channel| at(x, y, channel)))).into(),
            DynamicImage::ImageRgba8(ImageBuffer::from_fn(width, height, |x, y| {
                Rgba([0, 1, 2, 3].map(|channel| at(x, y, channel)))
            })),
        ]
    }

    fn file(image: &DynamicImage, filter: FilterType) -> Vec<u8> {
        let mut file = Vec::new();
        image.write_with_encoder(PngEncoder::new_with_quality(&mut file, CompressionType::Fast, filter)).unwrap();
        file
    }

    #[test]
    fn pixels_are_those_that_were_written_whatever_the_filter() {
        for (width, height) in [(1, 1), (1, 5), (2, 2), (33, 20), (64, 7)] {
            for image in drawn(width, height) {
                for filter in [
                    FilterType::NoFilter,
                    FilterType::Sub,
                    FilterType::Up,
                    FilterType::Avg,
                    FilterType::Paeth,
                    FilterType::Adaptive,
                ] {
                    let read = pixels(&file(&image, filter), [height as usize, width as usize]).unwrap();
                    assert_eq!(read, image, "{filter:?}, {width} x {height}");
                }
            }
        }
    }

    #[test]
    fn what_is_odd_or_damaged_is_left_to_the_other_decoder() {
        let image = &drawn(33, 20)[2];
        let whole = file(image, FilterType::Paeth);
        assert!(pixels(&whole, [20, 33]).is_some() && pixels(&whole, [33, 20]).is_none());
        for at in 8..whole.len() - 12 {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(pixels(&other, [20, 33]), None, "byte {at} of {}", whole.len());
            assert_eq!(pixels(&whole[..at], [20, 33]), None, "cut at {at}");
        }
        let mut wide = Cursor::new(Vec::new());
        image.to_rgb16().write_to(&mut wide, ImageFormat::Png).unwrap();
        assert_eq!(pixels(wide.get_ref(), [20, 33]), None);
    }

    #[test]
    fn real_photographs_and_masks_are_as_the_other_decoder_reads_them() {
        let Some(folder) = crate::testing::real("FIVES/train") else { return };
        for name in ["Original/17_A.png", "Ground truth/17_A.png", "Ground truth/29_A.png"] {
            let bytes = std::fs::read(folder.join(name)).unwrap();
            let expected = image::load_from_memory(&bytes).unwrap();
            assert!(pixels(&bytes, [2048, 2048]).unwrap() == expected, "{name}");
        }
    }
}
