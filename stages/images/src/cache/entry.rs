//! The format of a kept pair: a checksum, a header in JSON, then the pixels as they are.
//!
//! ```text
//! 8 bytes   "pair-1\r\n"
//! 4 bytes   CRC-32 of all that follows, little endian
//! 4 bytes   length of the header
//! ...       header
//! ...       image, mask, then of the original: mask, pixels, field of view, each as long as the header says
//! ```

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use pipeline_contract::Doubt;
use serde::{Deserialize, Serialize};

use super::bits;
use crate::{ImagePair, MaskKind, Normalization, Original, OwnPixels};

const MAGIC: &[u8; 8] = b"pair-1\r\n";

/// A header that is longer is damaged: doubts are a few sentences.
const LONGEST: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
struct Header {
    height: usize,
    width: usize,
    classes: bool,
    normalization: Normalization,
    doubts: Vec<[String; 3]>,
    mask: Plane,
    original: Option<Whole>,
}

/// How values lie in the file.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Plane {
    length: usize,
    /// What a set bit stands for, where the values are packed.
    one: Option<u8>,
}

#[derive(Serialize, Deserialize)]
struct Whole {
    height: usize,
    width: usize,
    shown: [usize; 4],
    mask: Plane,
    pixels: Pixels,
    inside: Option<Plane>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Pixels {
    Dropped,
    OfPair,
    Kept,
}

impl Plane {
    /// Bytes in the file.
    fn bytes(self) -> usize {
        if self.one.is_some() { self.length.div_ceil(8) } else { self.length }
    }
}

/// A pair as the parts of its file.
pub(super) struct Entry<'a> {
    head: Vec<u8>,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Plain(&'a [u8]),
    Packed(Vec<u8>),
}

impl Part<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Packed(bytes) => bytes,
        }
    }
}

impl<'a> Entry<'a> {
    /// The parts of a pair's file.
    ///
    /// # Errors
    /// When the header can't be written, which is a bug.
    pub fn of(pair: &'a ImagePair) -> io::Result<Self> {
        let mut parts = vec![Part::Plain(&pair.image)];
        let mut plane = |values: &'a [u8]| {
            let packed = bits::packed(values);
            let one = packed.as_ref().map(|(one, _)| *one);
            parts.push(packed.map_or(Part::Plain(values), |(_, bytes)| Part::Packed(bytes)));
            Plane { length: values.len(), one }
        };
        let mask = plane(&pair.mask);
        let original = pair.original.as_deref().map(|original| {
            let mask = plane(&original.mask);
            let inside = original.inside.as_deref().map(&mut plane);
            let pixels = match original.pixels {
                OwnPixels::Dropped => Pixels::Dropped,
                OwnPixels::OfPair => Pixels::OfPair,
                OwnPixels::Kept(_) => Pixels::Kept,
            };
            Whole { height: original.height, width: original.width, shown: original.shown, mask, pixels, inside }
        });
        if let Some(OwnPixels::Kept(pixels)) = pair.original.as_deref().map(|original| &original.pixels) {
            parts.push(Part::Plain(pixels));
        }
        let doubts = pair.doubts.iter().map(|doubt| [doubt.kind.to_string(), doubt.subject.clone(), doubt.words.clone()]);
        let header = Header {
            height: pair.height,
            width: pair.width,
            classes: pair.kind == MaskKind::Class,
            normalization: pair.normalization,
            doubts: doubts.collect(),
            mask,
            original,
        };
        let header = serde_json::to_vec(&header)?;
        let length = u32::try_from(header.len()).map_err(io::Error::other)?;
        let head = [&length.to_le_bytes()[..], &header].concat();
        Ok(Self { head, parts })
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        let parts: usize = self.parts.iter().map(|part| part.bytes().len()).sum();
        (MAGIC.len() + 4 + self.head.len() + parts) as u64
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.head);
        self.parts.iter().for_each(|part| sum.update(part.bytes()));
        file.write_all(MAGIC)?;
        file.write_all(&sum.finalize().to_le_bytes())?;
        file.write_all(&self.head)?;
        self.parts.iter().try_for_each(|part| file.write_all(part.bytes()))
    }
}

/// Reads a pair's file.
///
/// # Errors
/// When there is none, it can't be read, or isn't whole. A pair that is larger than its file is never allocated.
pub(super) fn read(path: &Path) -> io::Result<ImagePair> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it isn't whole");
    let mut start = [0; 16];
    file.read_exact(&mut start)?;
    let number = |at: usize| u32::from_le_bytes([start[at], start[at + 1], start[at + 2], start[at + 3]]);
    let size = number(12) as usize;
    if &start[..8] != MAGIC || size > LONGEST {
        return Err(damaged());
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&start[12..]);
    let mut exactly = |bytes: usize| -> io::Result<Vec<u8>> {
        if bytes as u64 > length {
            return Err(damaged());
        }
        let mut values = Vec::with_capacity(bytes);
        if Read::by_ref(&mut file).take(bytes as u64).read_to_end(&mut values)? < bytes {
            return Err(damaged());
        }
        sum.update(&values);
        Ok(values)
    };
    let header: Header = serde_json::from_slice(&exactly(size)?)?;
    let pixels = |height: usize, width: usize| height.checked_mul(width).ok_or_else(damaged);
    let own = pixels(header.height, header.width)?;
    let image = exactly(own.checked_mul(3).ok_or_else(damaged)?)?;
    let mut plane = |plane: Plane, wanted: usize| -> io::Result<Vec<u8>> {
        if plane.length != wanted {
            return Err(damaged());
        }
        let values = exactly(plane.bytes())?;
        Ok(match plane.one {
            Some(one) => bits::unpacked(one, &values, plane.length),
            None => values,
        })
    };
    let mask = plane(header.mask, own)?;
    let original = match header.original {
        None => None,
        Some(whole) => {
            let all = pixels(whole.height, whole.width)?;
            let mask = plane(whole.mask, if whole.mask.length == 0 { 0 } else { all })?;
            let inside = whole.inside.map(|inside| plane(inside, all)).transpose()?;
            let pixels = match whole.pixels {
                Pixels::Dropped => OwnPixels::Dropped,
                Pixels::OfPair => OwnPixels::OfPair,
                Pixels::Kept => OwnPixels::Kept(plane(Plane { length: all * 3, one: None }, all * 3)?),
            };
            let Whole { height, width, shown, .. } = whole;
            Some(Box::new(Original { height, width, mask, pixels, inside, shown }))
        }
    };
    let doubts = header.doubts.into_iter().map(|[kind, subject, words]| Doubt::new(kind, subject, words)).collect();
    let (end, sum) = (file.read(&mut [0])?, sum.finalize());
    if end != 0 || sum != number(8) {
        return Err(damaged());
    }
    let kind = if header.classes { MaskKind::Class } else { MaskKind::Share };
    let Header { height, width, normalization, .. } = Header { doubts: Vec::new(), original: None, ..header };
    Ok(ImagePair { height, width, image, mask, kind, normalization, original, doubts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::distinct;

    fn pairs() -> Vec<ImagePair> {
        let plain = distinct(5, 7);
        let original = |pixels, inside, mask| Original { height: 3, width: 4, mask, pixels, inside, shown: [0, 1, 2, 3] };
        let with = |original| ImagePair { original: Some(Box::new(original)), ..plain.clone() };
        vec![
            plain.clone(),
            ImagePair { mask: (0..35).collect(), kind: MaskKind::Class, ..plain.clone() },
            ImagePair {
                normalization: Normalization { mean: [0.1, 0.2, 0.3], std: [1.5, 0.123_456_79, 3.0] },
                ..plain.clone()
            },
            ImagePair { doubts: vec![Doubt::new("dark", "a.png", "a.png is dark\nvery")], ..plain.clone() },
            with(original(OwnPixels::Dropped, None, vec![255; 12])),
            with(original(OwnPixels::OfPair, Some(vec![1; 12]), Vec::new())),
            with(original(OwnPixels::Kept((0..36).collect()), Some(vec![0; 12]), (0..12).collect())),
        ]
    }

    fn written(pair: &ImagePair) -> Vec<u8> {
        let (entry, mut bytes) = (Entry::of(pair).unwrap(), Vec::new());
        entry.write(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, entry.bytes());
        bytes
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pair");
        for pair in pairs() {
            std::fs::write(&path, written(&pair)).unwrap();
            assert_eq!(read(&path).unwrap(), pair);
        }
    }

    #[test]
    fn a_file_that_is_not_whole_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pair");
        for pair in pairs() {
            let whole = written(&pair);
            for at in 0..whole.len() {
                std::fs::write(&path, &whole[..at]).unwrap();
                assert!(read(&path).is_err(), "cut off at {at}");
                let mut changed = whole.clone();
                changed[at] ^= 0x11;
                std::fs::write(&path, &changed).unwrap();
                assert!(read(&path).is_err(), "another byte at {at}");
            }
            std::fs::write(&path, [&whole[..], b"!"].concat()).unwrap();
            assert!(read(&path).is_err());
        }
    }
}
