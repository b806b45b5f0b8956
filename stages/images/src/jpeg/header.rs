//! What the segments of a JPEG file say: whether it is cut off, which its decoder fills up with grey without a word, and whether it is
//! of a supported kind. Decodes nothing.

use std::io::{BufRead, Cursor, ErrorKind, Result, Seek};

/// False when the file ends before its picture does. Other damage is left to [`damage`](super::damage).
pub(crate) fn is_complete(file: &[u8]) -> bool {
    let mut segments = Cursor::new(file);
    segments.set_position(2);
    match skip_to_picture(&mut segments) {
        Ok(true) => ends(file.get(segments.position() as usize..).unwrap_or_default()),
        Ok(false) => true,
        Err(error) => error.kind() != ErrorKind::UnexpectedEof,
    }
}

/// What of a JPEG is not supported, by the header of its picture: lossless and arithmetic coding, and other than 8 bits a sample.
pub(crate) fn unsupported(file: &[u8]) -> Option<String> {
    let mut segments = Cursor::new(file);
    segments.set_position(2);
    match frame(&mut segments).ok()?? {
        (0xc3 | 0xc7 | 0xcb | 0xcf, _) => Some("lossless JPEG".into()),
        (0xc5 | 0xc6, _) => Some("hierarchical JPEG".into()),
        (0xc9.., _) => Some("arithmetic coding of a JPEG".into()),
        (_, bits) if bits != 8 => Some(format!("a JPEG of {bits} bits a sample")),
        _ => None,
    }
}

/// The marker of the frame and its bits a sample; `None` where the segments aren't as they should be.
fn frame<R: BufRead + Seek>(file: &mut R) -> Result<Option<(u8, u8)>> {
    loop {
        let mut marker = [0; 2];
        file.read_exact(&mut marker)?;
        match marker {
            [0xff, 0xff] => file.seek_relative(-1)?,
            [0xff, 0x01 | 0xd0..=0xd8] => {}
            // The tables of codes, a reserved marker and the conditioning of arithmetic coding are no frames.
            [0xff, kind @ (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf)] => {
                let mut header = [0; 3];
                file.read_exact(&mut header)?;
                return Ok(Some((kind, header[2])));
            }
            [0xff, kind] if kind != 0xda => {
                let mut length = [0; 2];
                file.read_exact(&mut length)?;
                file.seek_relative(i64::from(u16::from_be_bytes(length)) - 2)?;
            }
            _ => return Ok(None),
        }
    }
}

/// Skips the segments before the picture's data, among them the preview's own picture. False when they aren't as they should be.
fn skip_to_picture<R: BufRead + Seek>(file: &mut R) -> Result<bool> {
    loop {
        let mut marker = [0; 2];
        file.read_exact(&mut marker)?;
        match marker {
            [0xff, 0xda] => return Ok(true),
            [0xff, 0xff] => file.seek_relative(-1)?,
            [0xff, 0x01 | 0xd0..=0xd8] => {}
            [0xff, _] => {
                let mut length = [0; 2];
                file.read_exact(&mut length)?;
                file.seek_relative(i64::from(u16::from_be_bytes(length)) - 2)?;
            }
            _ => return Ok(false),
        }
    }
}

/// Looks for the marker that ends the picture; inside the data, a byte of 255 is never followed by 217.
fn ends(data: &[u8]) -> bool {
    // Most files have nothing after it.
    data.ends_with(&[0xff, 0xd9]) || data.windows(2).any(|two| two == [0xff, 0xd9])
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    #[test]
    fn a_cut_file_is_told_from_a_whole_one() {
        let mut whole = Cursor::new(Vec::new());
        let picture = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * y) as u8, (x * 31) as u8, (y * 17) as u8]));
        picture.write_to(&mut whole, ImageFormat::Jpeg).unwrap();
        let whole = whole.into_inner();
        let complete = |bytes: &[u8]| is_complete(bytes);
        assert!(complete(&whole));
        assert!(complete(&[whole.as_slice(), b"what a camera adds"].concat()));
        for length in [3, 10, 30, whole.len() / 2, whole.len() - 1] {
            assert!(!complete(&whole[..length]), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn the_end_of_a_preview_inside_is_not_the_end() {
        // A segment of 6 bytes that holds an end marker, then data without one.
        let cut = [0xff, 0xd8, 0xff, 0xe1, 0, 6, 1, 2, 0xff, 0xd9, 0xff, 0xda, 0, 2, 7, 7];
        assert!(!is_complete(&cut));
    }
}
