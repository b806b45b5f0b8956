//! The directories of a TIFF file, one for each page: what their entries claim, and how many pages there are. Decodes nothing.
//!
//! A decoder takes memory for what a directory claims: up to 256 MiB for a file of 100 bytes.

use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};

/// What of a TIFF matters here: <https://www.awaresystems.be/imaging/tiff/tifftags/baseline.html>.
pub(super) mod tag {
    pub(crate) const SUBFILE: u16 = 254;
    pub(crate) const WIDTH: u16 = 256;
    pub(crate) const HEIGHT: u16 = 257;
    pub(crate) const PHOTOMETRIC: u16 = 262;
}

/// A page: what its directory says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// Height and width in pixels.
    pub(crate) size: [u64; 2],
    /// Whether it shows another page with fewer pixels, or is a mask of another page.
    pub(crate) minor: bool,
    pub(super) entries: Vec<Entry>,
}

/// An entry of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tag: u16,
    kind: u64,
    count: u64,
    /// Where in the file its value is, or the place of its values.
    pub(super) at: u64,
    /// The first value, if all fit into the entry.
    value: u64,
}

impl Page {
    pub(super) fn entry(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().copied().find(|entry| entry.tag == tag)
    }

    fn value(&self, tag: u16) -> Option<u64> {
        self.entry(tag).map(|entry| entry.value)
    }
}

/// False when an entry of the first directory has more values than a file of `length` bytes could hold. Other damage is left to
/// the decoder.
pub(crate) fn is_plausible<R: Read + Seek>(mut file: R, length: u64) -> Result<bool> {
    // Of a directory that is cut off, the entries before.
    let entries = pages(&mut file, 1)?.pop().map(|page| page.entries).unwrap_or_default();
    Ok(entries.iter().all(|entry| entry.count.saturating_mul(size(entry.kind)) <= length))
}

/// Whether a file is a BigTIFF, by its first bytes; rewinds it.
pub(crate) fn is_big<R: Read + Seek>(mut file: R) -> Result<bool> {
    file.rewind()?;
    let mut start = Vec::new();
    file.by_ref().take(4).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start == b"II+\0" || start == b"MM\0+")
}

/// The first pages of a file, up to `most`; those before the file's end where it is cut off.
pub(crate) fn pages<R: Read + Seek>(mut file: R, most: usize) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    match chain(&mut file, most, &mut pages) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(pages),
        other => other.map(|()| pages),
    }
}

fn chain<R: Read + Seek>(file: &mut R, most: usize, pages: &mut Vec<Page>) -> Result<()> {
    file.rewind()?;
    let [order, _, version @ ..] = bytes::<4, R>(file)?;
    let numbers = Numbers { little: order == b'I' };
    // 43 is BigTIFF, whose sizes and offsets have 64 bit.
    let big = numbers.read(&version) == 43;
    if big {
        bytes::<4, R>(file)?;
    }
    let mut directory = numbers.offset(file, big)?;
    let mut visited = Vec::new();
    // A chain that comes back to a page ends there.
    while directory != 0 && pages.len() < most && !visited.contains(&directory) {
        visited.push(directory);
        file.seek(SeekFrom::Start(directory))?;
        let count = if big { numbers.read(&bytes::<8, R>(file)?) } else { numbers.read(&bytes::<2, R>(file)?) };
        let (mut entries, mut read) = (Vec::new(), Ok(()));
        // The loop is no longer than the file: it ends where the file does.
        for _ in 0..count {
            match numbers.entry(file, big) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    read = Err(error);
                    break;
                }
            }
        }
        let page = Page { size: [0; 2], minor: false, entries };
        let size = [page.value(tag::HEIGHT).unwrap_or(0), page.value(tag::WIDTH).unwrap_or(0)];
        pages.push(Page { size, minor: page.value(tag::SUBFILE).unwrap_or(0) & 0b101 != 0, ..page });
        read?;
        directory = numbers.offset(file, big)?;
    }
    Ok(())
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

    fn offset<R: Read>(&self, file: &mut R, big: bool) -> Result<u64> {
        Ok(if big { self.read(&bytes::<8, R>(file)?) } else { self.read(&bytes::<4, R>(file)?) })
    }

    fn entry<R: Read + Seek>(&self, file: &mut R, big: bool) -> Result<Entry> {
        let [tag, kind] = [bytes::<2, R>(file)?, bytes::<2, R>(file)?].map(|two| self.read(&two));
        let count = self.offset(file, big)?;
        let at = file.stream_position()?;
        let field = if big { bytes::<8, R>(file)?.to_vec() } else { bytes::<4, R>(file)?.to_vec() };
        let value = self.read(&field[..field.len().min(size(kind) as usize)]);
        Ok(Entry { tag: tag as u16, kind, count, at, value })
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
