//! Walks over whole JPEGs and damaged ones. Not part of any build.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};

use super::damage;

// Made with Pillow 13; the pictures are 40 x 24. In the second, a restart marker follows every second MCU.
const PROGRESSIVE: &str = "ffd8ffdb004300140e0f120f0d14121012171514181e32211e1c1c1e3d2c2e243249404c4b47404645505a736250556d5645466488656d777b8182814e60\
    8d978c7d96737e817cffdb0043011517171e1a1e3b21213b7c5346537c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c\
    7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7cffc20011080018002803012200021101031101ffc4001800010101010100000000000000000000000004030502ff\
    c40017010101010100000000000000000000000002030401ffda000c03010002100310000001e66b46c3b378e8cae932c29d1b99332719d017ffc4001810\
    000301010000000000000000000000000001021112ffda00080101000105025229141727029149835ad48a4e46b270527fffc4001a110003010101010000\
    000000000000000000010203111221ffda0008010301013f018b35d793c1590cd69fa13f87ffc40019110100030101000000000000000000000001000211\
    2112ffda0008010201013f01af61e76690529b2bc008d9dc27ffc400161000030000000000000000000000000000101130ffda0008010100063f022a9fff\
    c4001a100101000203000000000000000000000001001011315181ffda0008010100013f21c89c5ea3213591d84c4685b463ac25ffda000c030100020003\
    00000010dbf0e3f7dfffc4001811010101010100000000000000000000000100114121ffda0008010301013f10c24c5dbca4d984784d3fffc40019110100\
    0301010000000000000000000000010011213171ffda0008010201013f10535d7a91b340f58e0762721700b0a9ffc4001d10000301010002030000000000\
    00000000000111216131514191f0ffda0008010100013f10e271381ba975fbec5af2a1cce62712b10ff0de4cc225389022d67c30e45b07b7122f6604afd1\
    ffd9";
const RESTARTS: &str = "ffd8ffdb004300140e0f120f0d14121012171514181e32211e1c1c1e3d2c2e243249404c4b47404645505a736250556d5645466488656d777b8182814e60\
    8d978c7d96737e817cffdb0043011517171e1a1e3b21213b7c5346537c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c\
    7c7c7c7c7c7c7c7c7c7c7c7c7c7c7c7cffc00011080018002803012100021101031101ffc400190000030101010000000000000000000000000405030106\
    ffc4002210000006020202030000000000000000000001020304112161315112136291f0ffc4001801010101010100000000000000000000000402030105\
    ffc4002311000202010303050000000000000000000102000311041222213132415161b1f0ffdd00040002ffda000c03010002110311003f00f34dc6d069\
    b89a19794450f1a6e1e8633e3650d917c8ff007d8daaa37308dd45db683f33ffd08688445c950029a9ad4e188110961c4a0d46d075a89a1e7d1ca12979ff\
    d16d2c127156625b8da9f7d6b2e0cf158c0a17317295f4c7733bacb308a0fa9fdf7356e2253560138a538b1eb211c913ffd27598da0ea63f8a4a8b260355\
    bb2a2e20696c99d718f54752b83aa2cd09e860cce92545d8ba58d5580bdcc9d65b9b157d84ffd3a6dc54a71567d0008d8b5f155ce20d1b227fffd9";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|two| two[0] * 16 + two[1]).collect()
}

/// A sequential JPEG.
fn drawn() -> Vec<u8> {
    let picture = RgbImage::from_fn(40, 24, |x, y| Rgb([(x * 9 + y * 3) as u8, (y * 11) as u8, (x * y) as u8]));
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Jpeg).unwrap();
    file.into_inner()
}

fn all() -> [Vec<u8>; 3] {
    [drawn(), bytes(PROGRESSIVE), bytes(RESTARTS)]
}

fn told(file: &[u8]) -> Option<String> {
    damage(file, [24, 40])
}

/// Where the data of the first scan begin.
fn data(file: &[u8]) -> usize {
    let scan = file.windows(2).position(|two| two == [0xff, 0xda]).unwrap();
    scan + 2 + usize::from(file[scan + 2]) * 256 + usize::from(file[scan + 3])
}

#[test]
fn whole_files_are_whole_whatever_follows_and_pads_them() {
    for file in all() {
        assert_eq!(told(&file), None);
        assert_eq!(told(&[file.as_slice(), b"what a camera adds"].concat()), None);
        // Fill bytes before the end, a byte too many, and a comment between two scans.
        let (body, end) = file.split_at(file.len() - 2);
        assert_eq!(told(&[body, &[0xff; 5], end].concat()), None);
        assert_eq!(told(&[body, &[0], end].concat()), None);
        assert_eq!(told(&[body, &[0xff, 0xfe, 0, 4, 1, 2], end].concat()), None);
    }
}

#[test]
fn missing_data_are_told_wherever_they_are_missing() {
    for file in all() {
        for at in (data(&file) + 2..file.len() - 6).step_by(3) {
            // Up to the last scan of a progressive JPEG, the file may be whole with the scans before.
            let closed = [&file[..at], &[0xff, 0xd9]].concat();
            let between = file[at] == 0xff || file[at - 1] == 0xff || file[data(&file)..at].contains(&0xc4);
            assert!(between || told(&closed).is_some(), "cut at {at} of {}", file.len());
        }
        let start = data(&file);
        let mut gap = file.clone();
        gap.drain(start + 10..start + 30);
        let said = told(&gap).unwrap();
        assert!(said.starts_with("its data are damaged, at byte ") && said.contains(" of 24): "), "{said}");
    }
}

#[test]
fn blocks_of_zeros_and_of_255_and_foreign_data_are_told() {
    for file in all() {
        let start = data(&file);
        for (fill, length) in [(0, 40), (0xff, 8), (0xff, 40), (0xaa, 40)] {
            let mut other = file.clone();
            other[start + 4..start + 4 + length].fill(fill);
            assert!(told(&other).is_some(), "{length} bytes of {fill} in a file of {} bytes", file.len());
        }
    }
}

#[test]
fn restart_markers_out_of_order_are_told() {
    let file = bytes(RESTARTS);
    let markers: Vec<usize> =
        (data(&file)..file.len() - 1).filter(|&at| file[at] == 0xff && file[at + 1] & 0xf8 == 0xd0).collect();
    assert!(markers.len() >= 3);
    let mut other = file.clone();
    (other[markers[0] + 1], other[markers[1] + 1]) = (file[markers[1] + 1], file[markers[0] + 1]);
    assert!(told(&other).unwrap().contains("the restart marker 0 is missing"));
    // Without one, its data and the next ones are one.
    let mut other = file.clone();
    other.drain(markers[1]..markers[1] + 2);
    assert!(told(&other).is_some());
    // All data between two of them.
    let mut other = file;
    other.drain(markers[0]..markers[1]);
    assert!(told(&other).unwrap().contains("the restart marker 0 is missing"));
}

#[test]
fn colours_without_data_and_beyond_their_range_are_told() {
    // Three scans of a colour each, of which the last is missing: those of a progressive JPEG, cut before the second.
    let file = bytes(PROGRESSIVE);
    let mut one = file[..data(&file)].to_vec();
    one.extend([0xff, 0xd9]);
    assert!(told(&one).unwrap().contains("they end before the picture does"));
    let whole = drawn();
    let tables = [&whole[..2], &[0xff, 0xd9]].concat();
    assert_eq!(told(&tables), None, "no picture, which the decoder says");
    // A step of 255 for the first coefficient.
    let mut wide = whole;
    let table = wide.windows(2).position(|two| two == [0xff, 0xdb]).unwrap();
    wide[table + 5] = 255;
    assert!(told(&wide).unwrap().contains("beyond what 8 bits hold"));
}

#[test]
fn real_photographs_are_whole() {
    let Some(folder) = crate::testing::real("CHASE_DB1") else { return };
    for name in ["Image_01L.jpg", "Image_08R.jpg"] {
        assert_eq!(damage(&std::fs::read(folder.join(name)).unwrap(), [960, 999]), None, "{name}");
    }
}
