//! Small TIFFs of every kind: read right, or named for what they are. Not part of any build.

use std::io::Cursor;
use std::path::Path;

use pipeline_contract::{Result, StageError};

use crate::open::header;
use crate::testing::tiff_file;

/// The pixels of a TIFF of 4 x 1 pixels, with these tags beside its size.
fn rgb(tags: &[(u16, u16, &[u32])], data: &[u8]) -> Result<Vec<u8>> {
    let size = [(256, 3, &[4][..]), (257, 3, &[1])];
    let file = tiff_file(&[([&size, tags].concat(), data)]);
    header(Cursor::new(file), Path::new("x.tif"), 100)?.rgb()
}

const SHORT: u16 = 3;
/// Tags: bits, compression, colours, order of bits, channels, planes, palette, further channels, sample format.
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const COLOURS: u16 = 262;
const ORDER: u16 = 266;
const CHANNELS: u16 = 277;
const PLANES: u16 = 284;
const PALETTE: u16 = 320;
const EXTRA: u16 = 338;
const FORMAT: u16 = 339;
const SUBSAMPLING: u16 = 530;

fn float(format: &[u32]) -> [(u16, u16, &[u32]); 1] {
    [(FORMAT, SHORT, format)]
}

fn repeated(values: [u8; 4]) -> Vec<u8> {
    values.into_iter().flat_map(|value| [value; 3]).collect()
}

#[test]
fn grey_of_every_depth_and_both_directions_is_read() {
    let grey = |bits: u32, colours: u32, more: &[(u16, u16, &[u32])], data: &[u8]| {
        let tags = [(BITS, SHORT, &[bits][..]), (COLOURS, SHORT, &[colours])];
        rgb(&[&tags, more].concat(), data).unwrap()
    };
    let words = |values: [u16; 4]| values.map(u16::to_le_bytes).concat();
    let floats = [0.0_f64, 1.0, 0.2, 0.6];
    let is = repeated([0, 255, 51, 153]);
    assert_eq!(grey(8, 1, &[], &[0, 255, 51, 153]), is);
    assert_eq!(grey(8, 0, &[], &[255, 0, 204, 102]), is);
    assert_eq!(grey(16, 1, &[], &words([0, 65535, 13107, 39321])), is);
    assert_eq!(grey(16, 0, &[], &words([65535, 0, 52428, 26214])), is);
    assert_eq!(grey(4, 1, &[], &[0x0f, 0x39]), is);
    assert_eq!(grey(4, 0, &[], &[0xf0, 0xc6]), is);
    assert_eq!(grey(2, 1, &[], &[0b0011_0110]), repeated([0, 255, 85, 170]));
    assert_eq!(grey(1, 1, &[], &[0b0110_0000]), repeated([0, 255, 255, 0]));
    assert_eq!(grey(1, 0, &[], &[0b1001_0000]), repeated([0, 255, 255, 0]));
    // The first pixel in the lowest bit; and a mask of transparency, which is one of 1 bit.
    assert_eq!(grey(1, 1, &[(ORDER, SHORT, &[2])], &[0b0000_0011]), repeated([255, 255, 0, 0]));
    assert_eq!(grey(1, 4, &[], &[0b0110_0000]), repeated([0, 255, 255, 0]));
    assert_eq!(grey(32, 1, &float(&[3]), &floats.map(|value| (value as f32).to_le_bytes()).concat()), is);
    assert_eq!(grey(64, 1, &float(&[3]), &floats.map(f64::to_le_bytes).concat()), is);
    // 0, 1, 0.2 and 0.6 of 16 bits.
    assert_eq!(grey(16, 1, &float(&[3]), &words([0, 0x3c00, 0x3266, 0x38cd])), is);
    // Whole numbers with a sign and of 32 bits are as those of 16 bits.
    assert_eq!(grey(32, 1, &float(&[2]), &[0_i32, 65535, 13107, 39321].map(i32::to_le_bytes).concat()), is);
    assert_eq!(grey(32, 1, &float(&[1]), &[0_u32, 65535, 13107, 39321].map(u32::to_le_bytes).concat()), is);
}

#[test]
fn colours_of_every_kind_are_read() {
    let eight = |colours: u32, channels: u32, more: &[(u16, u16, &[u32])], data: &[u8]| {
        let bits = vec![8; channels as usize];
        let tags = [(BITS, SHORT, &bits[..]), (COLOURS, SHORT, &[colours]), (CHANNELS, SHORT, &[channels])];
        rgb(&[&tags, more].concat(), data).unwrap()
    };
    let is = [10, 20, 30, 200, 100, 50, 0, 0, 255, 255, 255, 255];
    assert_eq!(eight(2, 3, &[], &is), is);
    let planes = [10, 200, 0, 255, 20, 100, 0, 255, 30, 50, 255, 255];
    assert_eq!(eight(2, 3, &[(PLANES, SHORT, &[2])], &planes), is);
    let with = |more: &[u8]| is.chunks(3).flat_map(|pixel| [pixel, more].concat()).collect::<Vec<_>>();
    assert_eq!(eight(2, 4, &[(EXTRA, SHORT, &[2])], &with(&[9])), is);
    assert_eq!(eight(2, 5, &[(EXTRA, SHORT, &[0, 0])], &with(&[9, 8])), is);
    let alpha = [1_u8, 9, 2, 9, 3, 9, 4, 9];
    assert_eq!(eight(1, 2, &[(EXTRA, SHORT, &[2])], &alpha), repeated([1, 2, 3, 4]));
    // Cyan, magenta, yellow and black.
    let ink = [255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 102, 51, 0, 0, 0];
    assert_eq!(eight(5, 4, &[], &ink), [0, 255, 255, 255, 0, 255, 153, 153, 153, 204, 255, 255]);
    // Black, white, and the red and blue of JPEG.
    let ycbcr = [0, 128, 128, 255, 128, 128, 76, 85, 255, 29, 255, 107];
    let read = eight(6, 3, &[(SUBSAMPLING, SHORT, &[1, 1])], &ycbcr);
    assert!(read.iter().zip([0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255]).all(|(&is, was): (&u8, u8)| is.abs_diff(was) < 2));
    // 2 bits of a palette: all reds, then all greens, then all blues.
    let palette = [10, 200, 0, 255, 20, 100, 0, 255, 30, 50, 255, 255];
    let tags = |palette| [(BITS, SHORT, &[2][..]), (COLOURS, SHORT, &[3]), (PALETTE, SHORT, palette)];
    let wide = palette.map(|value| value * 257);
    assert_eq!(rgb(&tags(&wide), &[0b0001_1011]).unwrap(), is);
    assert_eq!(rgb(&tags(&palette), &[0b0001_1011]).unwrap(), is, "of 8 bits");
    let wide: Vec<u8> = is.iter().flat_map(|&value| (u16::from(value) * 257).to_le_bytes()).collect();
    let tags = [(BITS, SHORT, &[16; 3][..]), (COLOURS, SHORT, &[2]), (CHANNELS, SHORT, &[3])];
    assert_eq!(rgb(&tags, &wide).unwrap(), is);
}

#[test]
fn what_is_not_read_is_named_and_not_called_damaged() {
    let refused = |tags: &[(u16, u16, &[u32])], part: &str| {
        let error: StageError = rgb(tags, &[0; 96]).unwrap_err();
        let said = format!("{error} {}", error.mend().unwrap());
        assert!(said.contains("not supported") && said.contains("convert FILE FILE.png") && said.contains(part), "{said}");
    };
    let grey = (COLOURS, SHORT, &[1][..]);
    for (compression, name) in [(2, "Huffman"), (3, "Fax3"), (50000, "ZSTD"), (50001, "WebP"), (34925, "34925")] {
        refused(&[(BITS, SHORT, &[8]), (COMPRESSION, SHORT, &[compression]), grey], name);
    }
    refused(&[(BITS, SHORT, &[12]), grey], "12 bits");
    refused(&[(BITS, SHORT, &[8; 3]), (COLOURS, SHORT, &[8]), (CHANNELS, SHORT, &[3])], "CIELab");
    refused(&[(BITS, SHORT, &[8; 3]), grey, (CHANNELS, SHORT, &[3])], "3 channels that its tags don't call colours");
    refused(&[(BITS, SHORT, &[8; 2]), grey, (CHANNELS, SHORT, &[2]), (EXTRA, SHORT, &[0])], "2 channels");
    let order = (ORDER, SHORT, &[2][..]);
    refused(&[(BITS, SHORT, &[8]), (COMPRESSION, SHORT, &[5]), grey, order], "FillOrder");
    let negative = [(BITS, SHORT, &[32][..]), grey, (FORMAT, SHORT, &[2])];
    let error = rgb(&negative, &[-1_i32, 1, 2, 3].map(i32::to_le_bytes).concat()).unwrap_err();
    assert!(error.message().contains("32-bit whole numbers, not all from 0 to 65535"), "{error}");
}

#[test]
fn a_tiff_without_its_pixels_is_damaged() {
    let tags = [(256, 3, &[4][..]), (257, 3, &[90]), (BITS, SHORT, &[8]), (COLOURS, SHORT, &[1])];
    let file = tiff_file(&[(tags.to_vec(), &[7; 40])]);
    let error = header(Cursor::new(file), Path::new("x.tif"), 1000).unwrap().rgb().unwrap_err();
    assert!(error.mend().unwrap().contains("truncated or damaged"), "{error:?}");
}
