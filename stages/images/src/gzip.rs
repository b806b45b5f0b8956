//! Unpacks image files that are packed with gzip, such as the `.ppm.gz` of STARE, within a limit.

use std::io::{BufRead, Cursor, Read, Result, Seek};

use flate2::bufread::MultiGzDecoder;
use image::{ImageDecoder, ImageFormat, ImageReader};

/// Why a file isn't unpacked.
#[derive(Debug)]
pub(crate) enum Trouble {
    Broken(std::io::Error),
    /// It unpacks to more bytes than this.
    Large(u64),
    /// What it holds isn't the start of an image.
    NoImage,
}

/// Bytes of which a format and the size of a PNM file are known.
const START: u64 = 1 << 16;

/// Characters of a value, written as text: up to 65535 and a space, and as much again for other spaces.
const CHARACTERS: u64 = 12;

/// Whether a file is packed, by its first bytes; rewinds it.
pub(crate) fn is_packed<R: Read + Seek>(file: &mut R) -> Result<bool> {
    let mut start = Vec::new();
    file.by_ref().take(2).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start == [0x1f, 0x8b])
}

/// What a file holds, if that is an image of at most `most` bytes; a PNM file, of as many as its size needs.
pub(crate) fn unpacked<R: BufRead>(file: R, most: u64) -> std::result::Result<Vec<u8>, Trouble> {
    let (mut decoder, mut bytes) = (MultiGzDecoder::new(file), Vec::new());
    decoder.by_ref().take(START.min(most)).read_to_end(&mut bytes).map_err(Trouble::Broken)?;
    let guessed = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(Trouble::Broken)?;
    // The guess doesn't know BigTIFF.
    let big = bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+");
    let most = match guessed.format() {
        Some(ImageFormat::Pnm) => match guessed.into_decoder() {
            Ok(decoder) => most.min(decoder.total_bytes().saturating_mul(CHARACTERS).saturating_add(START)),
            Err(_) => START,
        },
        Some(format) if format.reading_enabled() => most,
        _ if big => most,
        _ => return Err(Trouble::NoImage),
    };
    decoder.take((most + 1).saturating_sub(bytes.len() as u64)).read_to_end(&mut bytes).map_err(Trouble::Broken)?;
    if bytes.len() as u64 > most {
        return Err(Trouble::Large(most));
    }
    bytes.shrink_to_fit();
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde_json::json;
    use tempfile::tempdir;

    use super::*;
    use crate::testing::{build, context, emitted, mapped};
    use crate::{ImagePair, SampleFiles};

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_unpacked_is_an_image_within_its_limit() {
        let image = [b"P6\n200 200\n255\n".as_slice(), &[7; 120_000]].concat();
        let file = packed(&image);
        assert!(is_packed(&mut Cursor::new(&file)).unwrap() && !is_packed(&mut Cursor::new(&image)).unwrap());
        assert_eq!(unpacked(file.as_slice(), 1 << 20).unwrap(), image);
        assert!(matches!(unpacked(file.as_slice(), 100_000), Err(Trouble::Large(100_000))));
        // A few pixels, and a gibibyte after them.
        let bomb = [b"P5\n2 2\n255\n".as_slice(), &vec![0; 8 << 20]].concat();
        assert!(matches!(unpacked(packed(&bomb).as_slice(), 1 << 40), Err(Trouble::Large(most)) if most < 1 << 17));
        assert!(matches!(unpacked(packed(&vec![0; 1 << 20]).as_slice(), 1 << 40), Err(Trouble::NoImage)));
        for length in [20, file.len() / 2, file.len() - 1] {
            assert!(matches!(unpacked(&file[..length], 1 << 20), Err(Trouble::Broken(_))), "{length} of {} bytes", file.len());
        }
        // The checksum is looked at.
        let mut wrong = file.clone();
        let at = wrong.len() - 6;
        wrong[at] ^= 1;
        assert!(matches!(unpacked(wrong.as_slice(), 1 << 20), Err(Trouble::Broken(_))));
    }

    #[test]
    fn pairs_that_are_packed_are_read_as_those_of_stare() {
        let dir = tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, packed(&bytes)).unwrap();
        };
        for id in ["0001", "0002"] {
            let colours: Vec<u8> = (0..12 * 9 * 3).map(|at| (at * 7) as u8).collect();
            write(&format!("images/im{id}.ppm.gz"), [b"P6\n12 9\n255\n".as_slice(), &colours].concat());
            let vessels: Vec<u8> = (0..12 * 9).map(|at| if at % 4 == 0 { 255 } else { 0 }).collect();
            write(&format!("labels/im{id}.ah.ppm.gz"), [b"P5\n12 9\n255\n".as_slice(), &vessels].concat());
        }
        let given = json!({"root": dir.path(), "image": "images/im{id}.ppm.gz", "mask": "labels/im{id}.ah.ppm.gz"});
        let pairs = emitted::<SampleFiles>(&crate::image_pairs::kind(), given, 0).unwrap();
        assert_eq!(pairs.len(), 2);
        let stage = build(&crate::decode::kind(), json!({}), &context()).unwrap();
        for (id, files) in pairs {
            let pair: ImagePair = mapped(&stage, files, &id, 0).unwrap();
            assert_eq!(
                (pair.height, pair.width, &pair.image[..4], &pair.mask[..5]),
                (9, 12, &[0, 7, 14, 21][..], &[255, 0, 0, 0, 255][..])
            );
        }
    }
}
