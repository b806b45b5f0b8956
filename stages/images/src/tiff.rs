//! Tells whether the directory of a TIFF file claims more than the file holds, for which its decoder would take memory: up to
//! 256 MiB for a file of 100 bytes. Decodes nothing.

use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};

/// False when an entry of the first directory has more values than a file of `length` bytes could hold. Other damage is left to
/// the decoder.
pub(crate) fn is_plausible<R: Read + Seek>(mut file: R, length: u64) -> Result<bool> {
    match entries_fit(&mut file, length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(true),
        other => other,
    }
}

/// Whether a file is a BigTIFF, by its first bytes; rewinds it.
pub(crate) fn is_big<R: Read + Seek>(mut file: R) -> Result<bool> {
    file.rewind()?;
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start == b"II+\0" || start == b"MM\0+")
}

fn entries_fit<R: Read + Seek>(file: &mut R, length: u64) -> Result<bool> {
    file.rewind()?;
    let [order, _, version @ ..] = bytes::<4, R>(file)?;
    let numbers = Numbers { little: order == b'I' };
    // 43 is BigTIFF, whose sizes and offsets have 64 bit.
    let big = numbers.read(&version) == 43;
    let directory = if big {
        bytes::<4, R>(file)?;
        numbers.read(&bytes::<8, R>(file)?)
    } else {
        numbers.read(&bytes::<4, R>(file)?)
    };
    file.seek(SeekFrom::Start(directory))?;
    let entries = if big { numbers.read(&bytes::<8, R>(file)?) } else { numbers.read(&bytes::<2, R>(file)?) };
    // The loop is no longer than the file: it ends where the file does.
    for _ in 0..entries {
        let [_, _, kind @ ..] = bytes::<4, R>(file)?;
        let count = if big {
            let [count @ .., _, _, _, _, _, _, _, _] = bytes::<16, R>(file)?;
            numbers.read(&count)
        } else {
            let [count @ .., _, _, _, _] = bytes::<8, R>(file)?;
            numbers.read(&count)
        };
        if count.saturating_mul(size(numbers.read(&kind))) > length {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Bytes of a value of a type.
fn size(kind: u64) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

fn bytes<const N: usize, R: Read>(file: &mut R) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Numbers in the file's byte order.
struct Numbers {
    little: bool,
}

impl Numbers {
    fn read(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    fn plausible(bytes: &[u8]) -> bool {
        is_plausible(Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    /// A file of one entry: type 4, `count` values.
    fn file(order: &[u8; 2], count: u32) -> Vec<u8> {
        let two = |number: u16| if order == b"II" { number.to_le_bytes() } else { number.to_be_bytes() };
        let four = |number: u32| if order == b"II" { number.to_le_bytes() } else { number.to_be_bytes() };
        let head = [&order[..], &two(42), &four(8), &two(1)].concat();
        [&head[..], &two(273), &two(4), &four(count), &four(0), &four(0)].concat()
    }

    #[test]
    fn an_entry_larger_than_its_file_is_told() {
        for order in [b"II", b"MM"] {
            assert_eq!(file(order, 1).len(), 26);
            assert!(plausible(&file(order, 6)) && !plausible(&file(order, 7)));
            assert!(!plausible(&file(order, 6_000_000)) && !plausible(&file(order, u32::MAX)));
        }
        let big = |count: u64| {
            let head = [b"II".as_slice(), &43_u16.to_le_bytes(), &8_u32.to_le_bytes(), &16_u64.to_le_bytes()].concat();
            [&head[..], &1_u64.to_le_bytes(), &[17, 1, 16, 0], &count.to_le_bytes(), &[0; 8]].concat()
        };
        assert!(plausible(&big(5)) && !plausible(&big(6)) && !plausible(&big(u64::MAX)));
    }

    #[test]
    fn whole_and_cut_files_are_the_decoders_business() {
        let mut whole = Cursor::new(Vec::new());
        RgbImage::from_pixel(40, 30, Rgb([1, 2, 3])).write_to(&mut whole, ImageFormat::Tiff).unwrap();
        let whole = whole.into_inner();
        assert!(plausible(&whole));
        for length in [0, 3, 7, 9, whole.len() / 2, whole.len() - 100, whole.len() - 1] {
            let _either = plausible(&whole[..length]);
        }
        assert!(plausible(b"II*\0\xff\xff\xff\xff"));
    }
}
