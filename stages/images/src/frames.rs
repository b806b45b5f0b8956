//! Files that hold several pictures: the pages of a TIFF, the frames of a GIF or of an animated PNG. Which one is meant is for people to say;
//! decoders take the first without a word.

use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::Path;

use pipeline_contract::StageError;

use crate::tiff;

/// The most that are counted.
const MOST: usize = 1000;

/// Pictures of a file, any of which may be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames {
    what: &'static str,
    count: usize,
}

/// # Errors
/// When there are several pictures.
pub(crate) fn alone(path: &Path, frames: Frames) -> pipeline_contract::Result<()> {
    let Frames { what, count } = frames;
    if count <= 1 {
        return Ok(());
    }
    let (shown, more) = (path.display(), if count >= MOST { "or more " } else { "" });
    let name = path.file_name().unwrap_or_default().display();
    Err(StageError::new(format!("{shown} holds {count} {more}{what}: which of them is meant?")).help(format!(
        "save one as a file of its own, the first with ImageMagick: convert '{name}[0]' '{name}.png'; or exclude this sample"
    )))
}

/// The pages of a TIFF that aren't smaller pictures of another one, as those of a whole-slide pyramid, previews and masks of transparency are.
pub(crate) fn of_tiff<R: Read + Seek>(file: &mut R) -> Result<Frames> {
    let pages = tiff::pages(&mut *file, MOST)?;
    file.rewind()?;
    let first = pages.first().map_or([0; 2], |page| page.size);
    let others = pages.iter().skip(1).filter(|page| !page.minor && page.size[0] >= first[0] && page.size[1] >= first[1]);
    Ok(Frames { what: "pages", count: 1 + others.count() })
}

/// The frames of an animated PNG, by the chunk before its picture (<https://www.w3.org/TR/png-3/#acTL-chunk>).
pub(crate) fn of_png<R: Read + Seek>(file: &mut R) -> Result<Frames> {
    let count = whole(png_frames(file))?;
    file.rewind()?;
    Ok(Frames { what: "frames", count })
}

fn png_frames<R: Read + Seek>(file: &mut R) -> Result<usize> {
    file.seek(SeekFrom::Start(8))?;
    loop {
        let [length, kind, count] = [bytes::<4, R>(file)?, bytes(file)?, bytes(file)?];
        match &kind {
            b"acTL" => return Ok(u32::from_be_bytes(count) as usize),
            b"IDAT" | b"IEND" => return Ok(1),
            // The checksum is 4 bytes, as what was read of the chunk.
            _ => file.seek(SeekFrom::Current(i64::from(u32::from_be_bytes(length))))?,
        };
    }
}

/// The frames of a GIF, by its blocks (GIF89a, appendix B).
pub(crate) fn of_gif<R: Read + Seek>(file: &mut R) -> Result<Frames> {
    let mut count = 0;
    whole(gif_frames(file, &mut count).map(|()| 1))?;
    file.rewind()?;
    Ok(Frames { what: "frames", count })
}

fn gif_frames<R: Read + Seek>(file: &mut R, count: &mut usize) -> Result<()> {
    let table = |flags: u8| if flags & 0x80 != 0 { 3 << ((flags & 7) + 1) } else { 0 };
    file.seek(SeekFrom::Start(10))?;
    let [flags, _, _] = bytes::<3, R>(file)?;
    file.seek(SeekFrom::Current(table(flags)))?;
    while *count < MOST {
        match bytes::<1, R>(file)? {
            // An extension: its kind, then blocks.
            [0x21] => file.seek(SeekFrom::Current(1))?,
            // A frame: its place and size, a table of colours, the size of its codes, then blocks.
            [0x2c] => {
                let [.., flags] = bytes::<9, R>(file)?;
                *count += 1;
                file.seek(SeekFrom::Current(table(flags) + 1))?
            }
            _ => return Ok(()),
        };
        loop {
            let [length] = bytes::<1, R>(file)?;
            if length == 0 {
                break;
            }
            file.seek(SeekFrom::Current(length.into()))?;
        }
    }
    Ok(())
}

/// What is cut off is the decoder's business.
fn whole(frames: Result<usize>) -> Result<usize> {
    match frames {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(1),
        other => other,
    }
}

fn bytes<const N: usize, R: Read>(file: &mut R) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::codecs::gif::GifEncoder;
    use image::{Frame, ImageFormat, RgbImage, RgbaImage};

    use super::*;
    use crate::open::header;
    use crate::testing::tiff_file;

    fn opened(file: &[u8]) -> pipeline_contract::Result<[usize; 2]> {
        header(Cursor::new(file), Path::new("folder/x.tif"), 1 << 20).map(|opened| [opened.height, opened.width])
    }

    fn refused(file: &[u8], part: &str) {
        let error = opened(file).unwrap_err();
        assert!(error.message().contains(part) && error.message().contains("which of them is meant?"), "{error}");
        assert!(error.mend().unwrap().contains("convert 'x.tif[0]' 'x.tif.png'"), "{error:?}");
    }

    #[test]
    fn pages_of_a_tiff_that_may_be_meant_are_told() {
        let page = |side: &'static [u32; 1], kind: &'static [u32; 1]| {
            let tags: Vec<(u16, u16, &[u32])> =
                vec![(254, 4, kind), (256, 3, side), (257, 3, side), (258, 3, &[8]), (262, 3, &[1])];
            (tags, &[7_u8; 16][..])
        };
        let [small, large] = [&[2], &[4]];
        let [image, reduced, mask] = [&[0], &[1], &[4]];
        assert_eq!(opened(&tiff_file(&[page(large, image)])).unwrap(), [4, 4]);
        refused(&tiff_file(&[page(large, image), page(large, image)]), "holds 2 pages");
        refused(&tiff_file(&[page(large, image), page(large, image), page(small, image), page(large, image)]), "holds 3 pages");
        refused(&tiff_file(&[page(small, image), page(large, image)]), "holds 2 pages");
        // Previews, the steps of a pyramid, and a mask of transparency.
        for others in [page(small, image), page(small, reduced), page(large, reduced), page(large, mask)] {
            assert_eq!(opened(&tiff_file(&[page(large, image), others])).unwrap(), [4, 4]);
        }
        // A chain that never ends, which the decoder refuses.
        let mut circle = tiff_file(&[page(large, image)]);
        let (end, start) = (circle.len() - 4, circle[4..8].to_vec());
        circle[end..].copy_from_slice(&start);
        assert!(opened(&circle).unwrap_err().message().contains("cycle"));
    }

    #[test]
    fn frames_of_an_animation_are_told() {
        let gif = |frames: usize| {
            let mut file = Vec::new();
            let mut encoder = GifEncoder::new(&mut file);
            encoder.encode_frames((0..frames).map(|_| Frame::new(RgbaImage::new(9, 7)))).unwrap();
            drop(encoder);
            file
        };
        assert_eq!(opened(&gif(1)).unwrap(), [7, 9]);
        refused(&gif(3), "holds 3 frames");
        let mut png = Cursor::new(Vec::new());
        RgbImage::new(9, 7).write_to(&mut png, ImageFormat::Png).unwrap();
        let png = png.into_inner();
        assert_eq!(opened(&png).unwrap(), [7, 9]);
        // After the header of 33 bytes; the checksum isn't looked at before the frames are counted.
        let animated = |frames: u8| [&png[..33], b"\0\0\0\x08acTL\0\0\0", &[frames], &[0; 8], &png[33..]].concat();
        refused(&animated(2), "holds 2 frames");
    }
}
