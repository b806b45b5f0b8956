//! Reads the common kind of GIF: one opaque picture of the file's size. The `gif` crate finds it, and its codes are unpacked at one go; asked for a
//! row at a time, as that crate does, the unpacking stops too early in a few valid files and calls them truncated. Whatever else a file is, and
//! whatever is wrong with it, is left to that crate.

use std::io::Read;

use gif::{DecodeOptions, MemoryLimit};
use image::{DynamicImage, ImageBuffer};
use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

/// The first picture of a file whose header says that it is `height` x `width`; none where the other decoder is to read it.
pub(crate) fn pixels(file: impl Read, [height, width]: [usize; 2]) -> Option<DynamicImage> {
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    // What is packed is no larger than the file, which has a bound.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(file).ok()?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().ok()??;
    let whole = [frame.top, frame.left, frame.height, frame.width].map(usize::from) == [0, 0, height, width];
    if !whole || frame.transparent.is_some() {
        return None;
    }
    let palette = frame.palette.clone().or(global)?;
    let (smallest, codes) = frame.buffer.split_first()?;
    let mut indices = unpacked(*smallest, codes, height * width)?;
    if frame.interlaced {
        indices = in_order(&indices, height, width);
    }
    let colours: Option<Vec<&[u8]>> =
        indices.iter().map(|&index| palette.get(3 * usize::from(index)..3 * usize::from(index) + 3)).collect();
    let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
    ImageBuffer::from_raw(width, height, colours?.concat()).map(DynamicImage::ImageRgb8)
}

/// Exactly `length` values, with the code for the end behind them.
fn unpacked(smallest: u8, codes: &[u8], length: usize) -> Option<Vec<u8>> {
    if !(1..=11).contains(&smallest) {
        return None;
    }
    let (mut decoder, mut read, mut made) = (Decoder::new(BitOrder::Lsb, smallest), 0, 0);
    // One value of room more shows whether there are too many.
    let mut values = vec![0; length + 1];
    loop {
        let step = decoder.decode_bytes(&codes[read..], &mut values[made..]);
        (read, made) = (read + step.consumed_in, made + step.consumed_out);
        match step.status.ok()? {
            LzwStatus::Done => break,
            LzwStatus::Ok if made <= length && (step.consumed_in, step.consumed_out) != (0, 0) => {}
            LzwStatus::Ok | LzwStatus::NoProgress => return None,
        }
    }
    values.truncate(made);
    (made == length).then_some(values)
}

/// The rows of an interlaced picture from above: every eighth, those between them, then every other.
fn in_order(rows: &[u8], height: usize, width: usize) -> Vec<u8> {
    let mut ordered = vec![0; rows.len()];
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let order = passes.into_iter().flat_map(|(first, step)| (first..height).step_by(step));
    for (row, to) in rows.chunks_exact(width.max(1)).zip(order) {
        ordered[to * width..][..width].copy_from_slice(row);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use gif::{Encoder, Frame};
    use image::{ImageFormat, ImageReader};

    use super::*;

    /// 64 x 64 pixels of 0 and 255, written by Pillow; the `gif` crate calls it truncated.
    const VALID: &str = concat!(
        "47494638376140004000810000000000ffffff0000000000002c00000000400040004008b10001081c48b0a0c18308132a5cc8b0a1c387",
        "0e03489c48b162458818175adcb831a3c7831c434efc4872a048912553aa5cc9b2a5cb9730059e0c19b3e14c8e3519deec9853e14e8b3d",
        "7dfea418b4a8d1a348932a5dcad4e6d0914c9f425d2a5562d3aa01ae56d52a95eb53af439b8a1d4bb6acd9b368d3aa5dcbb66d4fac607f",
        "c6dd39f766dd99774fe64519756bdfae7fbf060e3b586e61ba87ed26c6bb586f63be54fdba9d4cb9b2e5cb98336bc61c10003b",
    );

    fn encoded(indices: &[u8], [height, width]: [u16; 2], palette: &[u8], interlaced: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, width, height, palette).unwrap();
        let mut frame = Frame::from_indexed_pixels(width, height, indices.to_vec(), None);
        frame.interlaced = interlaced;
        encoder.write_frame(&frame).unwrap();
        drop(encoder);
        bytes
    }

    #[test]
    fn what_both_decoders_read_is_the_same() {
        let palette: Vec<u8> = (0..=255).flat_map(|value: u8| [value, value.wrapping_mul(7), 255 - value]).collect();
        for [height, width] in [[1, 1], [1, 9], [13, 1], [17, 20], [64, 64], [200, 150]] {
            for (pattern, interlaced) in [(1, false), (7, true), (13, false), (64, true)] {
                let indices: Vec<u8> = (0..u32::from(height) * u32::from(width)).map(|at| (at / pattern * 31) as u8).collect();
                let bytes = encoded(&indices, [height, width], &palette, interlaced);
                let ours = pixels(&bytes[..], [height, width].map(usize::from)).unwrap();
                let theirs = ImageReader::with_format(Cursor::new(&bytes), ImageFormat::Gif).decode().unwrap();
                assert_eq!(ours.to_rgb8(), theirs.to_rgb8(), "{height} x {width}, {pattern}");
                assert_eq!(pixels(&bytes[..bytes.len() / 2], [height, width].map(usize::from)), None);
            }
        }
    }
    #[test]
    fn a_valid_file_that_the_other_decoder_calls_truncated_is_read() {
        let byte = |at: usize| u8::from_str_radix(&VALID[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..VALID.len()).step_by(2).map(byte).collect();
        let read = pixels(&bytes[..], [64, 64]).unwrap().to_luma8();
        let bright = |x: u32, y: u32| read.get_pixel(x, y).0[0] == 255;
        let columns: Vec<u32> = (0..64).filter(|&x| (0..64).any(|y| bright(x, y))).collect();
        let rows: Vec<u32> = (0..64).filter(|&y| (0..64).any(|x| bright(x, y))).collect();
        let count = read.iter().filter(|&&value| value == 255).count();
        assert!(!columns.is_empty() && count == columns.len() * rows.len(), "a rectangle");
        assert!(read.iter().all(|value| [0, 255].contains(value)));
        assert_eq!(pixels(&bytes[..], [64, 63]), None);
    }
}
