//! `decode`: files become a pair of plain buffers. Resizes nothing; what a single file holds is read in `read`.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use pipeline_contract::{
    Checked, Facts, Finding, ItemContext, Map, OptionSpec, OptionType, Place, Result, StageError, StageKind, Warnings, fact,
};
use serde_json::Value;

use crate::assign::Unlabelled;
use crate::fundus::{CLASS_COLOURS, draw_classes};
use crate::keeps::Keeps;
use crate::labels::{self, Labels, Options, shown};
use crate::open::{header, open};
use crate::payload::pixels;
use crate::plausible;
use crate::read::Opened;
use crate::told::Told;
use crate::{ImagePair, MaskKind, Normalization, SampleFiles, draw};

/// Declares `decode`.
///
/// Formats: PNG, JPEG, TIFF, GIF, PPM, PGM and PBM, recognised by content. The orientation that a camera wrote into a
/// photograph's EXIF data is applied where the mask fits the photograph only then. Where both fit, masks are taken to be drawn on the pixels as they are stored.
///
/// Where the pair is evaluated, it keeps its mask as it was drawn and, where an evaluator asks for it, its field of view: from the pair's own file if
/// the source names one, or else found in the photograph.
///
/// A black photograph is broken; an empty mask is not, since some photographs show no vessels.
///
/// With `labels` the mask holds class numbers, and the facts say which there are: see [`Classes::of`](crate::Classes::of).
pub fn kind() -> StageKind {
    let kind = StageKind::map("decode", "reads image and mask files, or draws a synthetic fundus", |options: Options, cx| {
        let keeps = cx.facts.first().and_then(Keeps::of);
        Ok(Decode { max_pixels: options.max_pixels, labels: Labels::read(&options).0, keeps, warnings: cx.warnings() })
    });
    let kind = kind.option(OptionSpec::new(
        "max_pixels",
        OptionType::Integer { min: 1, max: 1 << 30 },
        100_000_000,
        "maximum pixels of a file; checked in its header, before memory is allocated",
    ));
    labels::options()
        .into_iter()
        .fold(kind, StageKind::option)
        .check::<Options>(|options, inputs| {
            let mut facts = inputs.first().cloned().unwrap_or_default();
            let (labels, mut findings) = Labels::read(options);
            findings.extend(misfit(&drawn_values(&facts), labels.as_ref()));
            facts.forget(DRAWN_VALUES);
            if let Some(keeps) = Keeps::of(&facts) {
                let size = pixels(&facts).and_then(|pixels| pixels.checked_mul(keeps.bytes_of_a_pixel()));
                facts.set(fact::ORIGINAL, size.map_or(Value::Null, Value::from), "");
            }
            if let Some(labels) = labels {
                labels.classes.set(&mut facts);
            }
            Checked { facts, findings }
        })
        .example("- {id: decode, use: decode, workers: 4, with: {labels: {artery: [255, 0, 0], vein: [0, 0, 255]}}}")
}

/// A fact of sources that draw: the values in their masks beside black.
pub(crate) const DRAWN_VALUES: &str = "drawn_values";

fn drawn_values(facts: &Facts) -> Vec<[u8; 3]> {
    let value = facts.get(DRAWN_VALUES).map(|fact| fact.value.clone()).unwrap_or_default();
    serde_json::from_value(value).unwrap_or_default()
}

/// The values of drawn masks that have no label. Those of files are only known when they are read.
fn misfit(drawn: &[[u8; 3]], labels: Option<&Labels>) -> Option<Finding> {
    let listed = |values: &[[u8; 3]]| values.iter().map(|&value| shown(value)).collect::<Vec<_>>().join(" and ");
    let Some(labels) = labels else {
        return (drawn.len() > 1).then(|| {
            let place = Place::Fact { input: 0, name: DRAWN_VALUES.into() };
            Finding::error(place, format!("the masks are drawn in {}, and decode has no `labels` for them", listed(drawn)))
                .help("add to decode: with: {labels: {artery: [255, 0, 0], vein: [0, 0, 255]}}")
        });
    };
    let missed: Vec<_> = drawn.iter().copied().filter(|&value| labels.number(value).is_none()).collect();
    (!missed.is_empty()).then(|| {
        Finding::error(Place::Option("labels".into()), format!("the drawn masks hold {}, which has no label", listed(&missed)))
            .help("add it to `labels`, or set `other` to background or ignore")
    })
}

struct Decode {
    max_pixels: u64,
    labels: Option<Labels>,
    /// What pairs keep of their originals.
    keeps: Option<Keeps>,
    /// Where it tells of what is doubtful.
    warnings: Warnings,
}

/// A photograph without any value above this is black: a lens cap, a failed export. What a JPEG makes of black is below it.
const BLACK: u8 = 5;

impl Map for Decode {
    type In = SampleFiles;
    type Out = ImagePair;

    fn map(&self, input: SampleFiles, _: &ItemContext<'_>) -> Result<ImagePair> {
        let told = Told::default();
        let (mut pair, field) = match input {
            SampleFiles::Drawn { size, seed, classes } => (self.drawn(size, seed, classes)?, None),
            SampleFiles::Pair { image, mask, inside } => {
                let pair = pair(open(&image, self.max_pixels)?, open(&mask, self.max_pixels)?, self.labels.as_ref(), &told)?;
                (pair, inside.map(|inside| (inside, image)))
            }
            SampleFiles::Photograph(path) => (self.alone(&path, &told)?, None),
        };
        pair.doubts = told.all();
        pair.doubts.iter().try_for_each(|doubt| self.warnings.tell(doubt))?;
        if let Some(keeps) = self.keeps {
            pair.original = Some(Box::new(keeps.original(&pair, field, self.max_pixels)?));
        }
        Ok(pair)
    }
}

impl Decode {
    /// A photograph with an empty mask.
    fn alone(&self, path: &Path, told: &Told) -> Result<ImagePair> {
        let opened = open(path, self.max_pixels)?;
        let (height, width) = (opened.height, opened.width);
        let kind = if self.labels.is_some() { MaskKind::Class } else { MaskKind::Share };
        let (image, mask) = (photograph(opened, told)?, vec![0; height * width]);
        Ok(ImagePair {
            height,
            width,
            image,
            mask,
            kind,
            normalization: Normalization::default(),
            original: None,
            doubts: Vec::new(),
        })
    }

    /// A synthetic fundus, with the mask that its file would give.
    fn drawn(&self, size: usize, seed: u64, classes: bool) -> Result<ImagePair> {
        let mut pair = if classes { draw_classes(size, seed) } else { draw(size, seed) };
        let Some(labels) = &self.labels else {
            return match classes {
                true => Err(StageError::new("the drawn mask tells arteries from veins, and decode has no `labels` for them")),
                false => Ok(pair),
            };
        };
        let colours: &[[u8; 3]] = if classes { &CLASS_COLOURS } else { &[[0; 3], [255; 3]] };
        for (at, value) in pair.mask.iter_mut().enumerate() {
            let colour = colours[usize::from(if classes { *value } else { *value / 255 })];
            let number = labels.number(colour);
            *value = number.ok_or_else(|| Unlabelled::new(at, colour).error("the drawn mask", size))?;
        }
        pair.kind = MaskKind::Class;
        Ok(pair)
    }
}

/// The pair that is in the bytes of an image file and of a mask file, as the stage `decode` would read them off the disk.
///
/// # Errors
/// When one is no whole image of a format that is read, or has more than `max_pixels` pixels, or they differ in size.
pub fn decode(image: &[u8], mask: &[u8], max_pixels: u64) -> Result<ImagePair> {
    let open = |bytes, name: &str| header(Cursor::new(bytes), Path::new(name), max_pixels);
    pair(open(image, "the image")?, open(mask, "the mask")?, None, &Told::default())
}

fn pair(photo: Opened<'_>, mask: Opened<'_>, labels: Option<&Labels>, told: &Told) -> Result<ImagePair> {
    let (stored, turned) = ([photo.height, photo.width], [photo.orientation, mask.orientation]);
    let [height, width] = [mask.height, mask.width];
    let upright = stored != [height, width];
    if upright && !plausible::fits_upright(stored, [height, width], turned) {
        return Err(plausible::sizes([&photo.path.display(), &mask.path.display()], [stored, [height, width]], turned));
    }
    told.tell(&photo.path, plausible::orientation(photo.path.display(), [height, width], turned, upright));
    let mut pixels = photograph(photo, told)?;
    if upright {
        pixels = oriented(pixels, stored, turned[0])?;
    }
    let (mask, kind) = match labels {
        Some(labels) => (mask.classes(labels)?, MaskKind::Class),
        None => (mask.mask(told)?, MaskKind::Share),
    };
    Ok(ImagePair {
        height,
        width,
        image: pixels,
        mask,
        kind,
        normalization: Normalization::default(),
        original: None,
        doubts: Vec::new(),
    })
}

/// The pixels of a photograph as viewers show it.
fn oriented(pixels: Vec<u8>, [height, width]: [usize; 2], orientation: Orientation) -> Result<Vec<u8>> {
    let sides = u32::try_from(width).ok().zip(u32::try_from(height).ok());
    let image = sides.and_then(|(width, height)| RgbImage::from_raw(width, height, pixels));
    let mut image = DynamicImage::from(image.ok_or_else(|| StageError::new("the pixels aren't as many as the header says"))?);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8().into_raw())
}

/// The pixels of a photograph, RGB `[height, width, 3]`.
fn photograph(photo: Opened<'_>, told: &Told) -> Result<Vec<u8>> {
    let shown = photo.path.display().to_string();
    let pixels = photo.photograph(told)?;
    if pixels.iter().all(|&value| value <= BLACK) {
        return Err(StageError::new(format!("{shown} is black: no value in it is above {BLACK} of 255"))
            .help("a network can't learn from it: exclude this sample"));
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use image::{GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba};
    use pipeline_contract::{Payload, fact};
    use serde_json::{Value, json};
    use tempfile::tempdir;

    use super::*;
    use crate::testing::{build, context, defaults, mapped, real, reported};

    fn decoded(image: &Path, mask: &Path, max_pixels: u64) -> Result<ImagePair> {
        let stage = build(&kind(), json!({"max_pixels": max_pixels}), &context())?;
        mapped(&stage, SampleFiles::Pair { image: image.into(), mask: mask.into(), inside: None }, "sample", 0)
    }

    const MANY: u64 = 100_000_000;

    fn saved(dir: &Path, name: &str, image: impl Into<DynamicImage>, format: ImageFormat) -> PathBuf {
        let path = dir.join(name);
        image.into().save_with_format(&path, format).unwrap();
        path
    }

    #[test]
    fn photographs_of_every_format_and_depth_become_rgb8() {
        let dir = tempdir().unwrap();
        let at = |x: u32, y: u32| [(x * 40) as u8, (y * 60) as u8, 200];
        let expected: Vec<u8> = (0..4).flat_map(|y| (0..6).flat_map(move |x| at(x, y))).collect();
        let grey: Vec<u8> = (0..4).flat_map(|y| (0..6).flat_map(move |x| [at(x, y)[0]; 3])).collect();
        let rgb = RgbImage::from_fn(6, 4, |x, y| Rgb(at(x, y)));
        let wide = |value: u8| u16::from(value) * 257;
        let mask = saved(dir.path(), "mask.png", GrayImage::new(6, 4), ImageFormat::Png);
        let [png, tiff, ppm] = [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::Pnm];
        let [r, g, b] = [0, 1, 2].map(|channel| move |x, y| wide(at(x, y)[channel]));
        let files: Vec<(DynamicImage, ImageFormat, &[u8])> = vec![
            (rgb.clone().into(), png, &expected),
            (rgb.clone().into(), tiff, &expected),
            (rgb.clone().into(), ppm, &expected),
            // Alpha 3 would darken the pixels if it were multiplied in.
            (ImageBuffer::from_fn(6, 4, |x, y| Rgba([at(x, y)[0], at(x, y)[1], 200, 3])).into(), png, &expected),
            (ImageBuffer::from_fn(6, 4, |x, y| Rgb([r(x, y), g(x, y), b(x, y)])).into(), png, &expected),
            (ImageBuffer::from_fn(6, 4, |x, y| Rgba([r(x, y), g(x, y), b(x, y), 9])).into(), tiff, &expected),
            (GrayImage::from_fn(6, 4, |x, y| Luma([at(x, y)[0]])).into(), png, &grey),
            (ImageBuffer::from_fn(6, 4, |x, y| LumaA([at(x, y)[0], 3])).into(), png, &grey),
            (ImageBuffer::from_fn(6, 4, |x, y| Luma([r(x, y)])).into(), tiff, &grey),
            (ImageBuffer::from_fn(6, 4, |x, y| LumaA([r(x, y), 3])).into(), png, &grey),
            (GrayImage::from_fn(6, 4, |x, y| Luma([at(x, y)[0]])).into(), ppm, &grey),
        ];
        for (number, (image, format, expected)) in files.into_iter().enumerate() {
            let path = saved(dir.path(), &format!("{number}"), image, format);
            let pair = decoded(&path, &mask, MANY).unwrap();
            assert_eq!((pair.height, pair.width), (4, 6));
            assert_eq!(pair.image, expected, "file {number}, {format:?}");
            assert_eq!(pair.bytes(), 4 * 6 * 4, "no spare capacity in file {number}");
        }
        let flat = RgbImage::from_pixel(6, 4, Rgb([120, 60, 30]));
        for (name, format) in [("photo.jpg", ImageFormat::Jpeg), ("photo.gif", ImageFormat::Gif)] {
            let path = saved(dir.path(), name, flat.clone(), format);
            let pair = decoded(&path, &mask, MANY).unwrap();
            assert!(pair.image.iter().zip(flat.as_raw()).all(|(&is, &was)| is.abs_diff(was) < 4), "{name}");
        }
    }

    #[test]
    fn masks_of_every_depth_are_channel_0_above_half() {
        let dir = tempdir().unwrap();
        let image = saved(dir.path(), "image.png", RgbImage::from_pixel(4, 1, Rgb([90; 3])), ImageFormat::Png);
        let values = [0_u8, 127, 128, 255];
        let at = |x: u32, _| values[x as usize];
        let wide = [0_u16, 32767, 32768, 65535];
        let pgm = |name: &str, header: &str, data: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, [header.as_bytes(), data].concat()).unwrap();
            path
        };
        let half = [0, 0, 1, 1];
        let save = |name: &str, image: DynamicImage, format| saved(dir.path(), name, image, format);
        for (path, expected) in [
            (save("l8", GrayImage::from_fn(4, 1, |x, y| Luma([at(x, y)])).into(), ImageFormat::Png), half),
            // The other channels and alpha say the opposite.
            (save("rgb", RgbImage::from_fn(4, 1, |x, y| Rgb([at(x, y), 255, 255])).into(), ImageFormat::Tiff), half),
            (
                save(
                    "rgba",
                    ImageBuffer::from_fn(4, 1, |x, y| Rgba([at(x, y), 0, 0, 255 - at(x, y)])).into(),
                    ImageFormat::Png,
                ),
                half,
            ),
            (save("la", ImageBuffer::from_fn(4, 1, |x, y| LumaA([at(x, y), 255])).into(), ImageFormat::Png), half),
            (save("l16", ImageBuffer::from_fn(4, 1, |x, _| Luma([wide[x as usize]])).into(), ImageFormat::Png), half),
            (
                save("rgb16", ImageBuffer::from_fn(4, 1, |x, _| Rgb([wide[x as usize], 65535, 0])).into(), ImageFormat::Tiff),
                half,
            ),
            (save("gif", RgbImage::from_fn(4, 1, |x, y| Rgb([at(x, y), 0, 0])).into(), ImageFormat::Gif), half),
            (save("01", GrayImage::from_fn(4, 1, |x, _| Luma([(x % 2) as u8])).into(), ImageFormat::Png), [0, 1, 0, 1]),
            (save("none", GrayImage::new(4, 1).into(), ImageFormat::Png), [0; 4]),
            // PBM: 1 is black, and black is 0. PGM with a range of 1: 1 is white.
            (pgm("1.pbm", "P4\n4 1\n", &[0b1001_0000]), [0, 1, 1, 0]),
            (pgm("1.pgm", "P5\n4 1\n1\n", &[0, 1, 0, 1]), [0, 1, 0, 1]),
            (pgm("8.pgm", "P5\n4 1\n255\n", &values), half),
        ] {
            let mask = decoded(&image, &path, MANY).unwrap().mask;
            assert_eq!(mask, expected.map(|on| 255 * on), "{}", path.display());
        }
    }

    #[test]
    fn the_content_decides_the_format_not_the_name() {
        let dir = tempdir().unwrap();
        let image = saved(dir.path(), "photo.jpg", RgbImage::from_pixel(3, 2, Rgb([9, 8, 7])), ImageFormat::Png);
        let mask = saved(dir.path(), "mask.png", GrayImage::new(3, 2), ImageFormat::Tiff);
        assert_eq!(decoded(&image, &mask, MANY).unwrap().image[..3], [9, 8, 7]);
    }

    #[test]
    fn broken_files_are_named_with_the_mend() {
        let dir = tempdir().unwrap();
        let good = saved(dir.path(), "good.png", RgbImage::from_pixel(40, 30, Rgb([90; 3])), ImageFormat::Png);
        let other = saved(dir.path(), "other.png", RgbImage::new(30, 40), ImageFormat::Png);
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(dir.path().join(name), bytes).unwrap();
            dir.path().join(name)
        };
        let noisy = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * y) as u8, (x * 31) as u8, (y * 17) as u8]));
        let cut = |name: &str, format| {
            let bytes = std::fs::read(saved(dir.path(), name, noisy.clone(), format)).unwrap();
            write(name, &bytes[..bytes.len() / 2])
        };
        for (path, part) in [
            (dir.path().join("missing.png"), "can't be read"),
            (dir.path().to_path_buf(), "can't be read"),
            (write("empty.png", b""), "empty (0 bytes)"),
            (write("text.png", b"this is no image"), "is no PNG"),
            (write("bitmap.bmp", b"BM0000000000000000"), "is no PNG"),
            (write("head.png", b"\x89PNG\r\n\x1a\n"), "can't be decoded"),
            (cut("cut.png", ImageFormat::Png), "can't be decoded"),
            (cut("cut.tif", ImageFormat::Tiff), "can't be decoded"),
            (cut("cut.gif", ImageFormat::Gif), "can't be decoded"),
            (cut("cut.ppm", ImageFormat::Pnm), "can't be decoded"),
            (cut("cut.jpg", ImageFormat::Jpeg), "ends before the image does"),
        ] {
            let error = decoded(&path, &good, MANY).unwrap_err();
            assert!(error.message().contains(part), "{error}");
            assert!(error.message().contains(&path.display().to_string()), "{error}");
        }
        let error = decoded(&good, &other, MANY).unwrap_err();
        assert!(error.message().contains("40 x 30") && error.message().contains("30 x 40"), "{error}");
        let error = decoded(&good, &good, 1199).unwrap_err();
        assert!(error.message().contains("40 x 30") && error.mend().unwrap().contains("max_pixels"), "{error}");
        assert!(decoded(&good, &good, 1200).is_ok());
    }

    #[test]
    fn a_black_photograph_is_broken_and_an_empty_mask_is_not() {
        let dir = tempdir().unwrap();
        let mask = saved(dir.path(), "mask.png", GrayImage::new(20, 20), ImageFormat::Png);
        let photo = |value: u8, format| saved(dir.path(), "photo", RgbImage::from_pixel(20, 20, Rgb([value; 3])), format);
        for (value, format) in [(0, ImageFormat::Png), (5, ImageFormat::Png), (1, ImageFormat::Jpeg)] {
            let error = decoded(&photo(value, format), &mask, MANY).unwrap_err();
            assert!(error.message().contains("is black") && error.mend().unwrap().contains("exclude"), "{error}");
        }
        // One bright pixel is no black photograph.
        let mut dark = RgbImage::new(20, 20);
        dark.put_pixel(19, 19, Rgb([0, 6, 0]));
        let dark = saved(dir.path(), "dark.png", dark, ImageFormat::Png);
        assert!(decoded(&dark, &mask, MANY).unwrap().mask.iter().all(|&value| value == 0));
    }

    #[test]
    fn a_file_longer_than_its_pixels_can_be_is_not_read() {
        let dir = tempdir().unwrap();
        let path = saved(dir.path(), "long.jpg", RgbImage::from_pixel(20, 20, Rgb([90; 3])), ImageFormat::Jpeg);
        // A file with a hole takes no place on the disk.
        std::fs::File::options().append(true).open(&path).unwrap().set_len(65 << 20).unwrap();
        let error = decoded(&path, &path, 400).unwrap_err();
        assert!(error.message().contains("bytes, more than") && error.mend().unwrap().contains("max_pixels"), "{error}");
    }

    #[test]
    fn a_header_that_lies_takes_no_memory() {
        let dir = tempdir().unwrap();
        // 60000 x 60000 pixels would be 10 GB.
        let path = dir.path().join("bomb.ppm");
        std::fs::write(&path, b"P6\n60000 60000\n255\n").unwrap();
        let error = decoded(&path, &path, MANY).unwrap_err();
        assert!(error.message().contains("60000 x 60000"), "{error}");
    }

    #[test]
    fn what_is_no_regular_file_or_too_large_is_not_read() {
        let dir = tempdir().unwrap();
        let sparse = dir.path().join("sparse.jpg");
        // A JPEG's decoder would read all of it before it looks at the header.
        std::fs::File::create(&sparse).unwrap().set_len(1 << 40).unwrap();
        let error = decoded(&sparse, &sparse, 1000).unwrap_err();
        assert!(error.message().contains("1099511627776 bytes"), "{error}");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("/dev/zero", dir.path().join("endless.png")).unwrap();
            let error = decoded(&dir.path().join("endless.png"), &sparse, MANY).unwrap_err();
            assert!(error.message().contains("not a regular file"), "{error}");
            // Nothing ever writes into it.
            let pipe = dir.path().join("pipe.png");
            assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            let error = decoded(&pipe, &sparse, MANY).unwrap_err();
            assert!(error.message().contains("not a regular file"), "{error}");
        }
    }

    #[test]
    fn an_image_without_pixels_is_refused() {
        let gif = b"GIF89a\0\0\0\0\0\0\0\x2c\0\0\0\0\0\0\0\0\0\x02\x02\x44\x01\0\x3b";
        for file in [b"P5\n0 0\n255\n".as_slice(), b"P5\n0 4\n255\n", gif] {
            let error = decode(file, file, MANY).unwrap_err();
            assert!(error.message().starts_with("the image "), "{error}");
        }
    }

    #[test]
    fn bytes_are_decoded_as_files_are() {
        let dir = tempdir().unwrap();
        let path =
            saved(dir.path(), "a.png", RgbImage::from_fn(5, 4, |x, y| Rgb([x as u8 * 50, y as u8, 9])), ImageFormat::Png);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(decode(&bytes, &bytes, 20).unwrap(), decoded(&path, &path, 20).unwrap());
        let error = decode(&bytes, &bytes[..40], 20).unwrap_err();
        assert!(error.message().starts_with("the mask can't be decoded"), "{error}");
    }

    #[test]
    fn the_real_files_decode() {
        for (image, mask, size, share) in [
            ("FIVES/train/Original/29_A.png", "FIVES/train/Ground truth/29_A.png", (2048, 2048), 0.02..0.2),
            ("CHASE_DB1/Image_01L.jpg", "CHASE_DB1/Image_01L_1stHO.png", (960, 999), 0.04..0.12),
            ("HRF/images/01_dr.jpg", "HRF/manual1/01_dr.tif", (2336, 3504), 0.04..0.12),
        ] {
            let (Some(image), Some(mask)) = (real(image), real(mask)) else { continue };
            let pair = decoded(&image, &mask, MANY).unwrap();
            assert_eq!((pair.height, pair.width), size);
            let found = pair.mask.iter().map(|&value| f64::from(value) / 255.0).sum::<f64>() / pair.mask.len() as f64;
            assert!(share.contains(&found), "{}: {found} of the pixels are vessel", image.display());
            assert_eq!(pair.bytes(), (size.0 * size.1 * 4) as u64);
        }
    }

    /// The numbers in a mask, with how many pixels have each.
    fn counts(mask: &[u8]) -> Vec<(u8, usize)> {
        let count = |number: u8| (number, mask.iter().filter(|&&there| there == number).count());
        (0..=255).map(count).filter(|(_, count)| *count > 0).collect()
    }

    fn labelled(given: Value, image: &Path, mask: &Path) -> Result<Vec<u8>> {
        let stage = build(&kind(), given, &context())?;
        let files = SampleFiles::Pair { image: image.into(), mask: mask.into(), inside: None };
        mapped::<_, ImagePair>(&stage, files, "sample", 0).map(|pair| pair.mask)
    }

    #[test]
    fn masks_that_users_reported_are_read_as_they_are_labelled() {
        let (Some(labels), Some(colours)) = (reported("mask_labels"), reported("mask_colours")) else { return };
        let red_and_blue = || json!({"artery": [255, 0, 0], "vein": [0, 0, 255]});
        for (folder, name, given, classes) in [
            (&labels, "two", json!({"vessel": 2}), 1),
            (&labels, "hundred", json!({"vessel": 100}), 1),
            (&labels, "bits16", json!({"vessel": 255}), 1),
            (&labels, "labels", json!({"artery": 1, "vein": 2}), 2),
            (&colours, "green", json!({"vessel": [0, 255, 0]}), 1),
            (&colours, "voc_class_2", json!({"bicycle": [0, 128, 0]}), 1),
            (&colours, "artery_vein", red_and_blue(), 2),
        ] {
            let [image, mask] = ["images", "masks"].map(|part| folder.join(part).join(format!("{name}.png")));
            let numbers = labelled(json!({"labels": given}), &image, &mask).unwrap();
            let (found, least) = (counts(&numbers), numbers.len() / 100);
            assert_eq!(found.len(), classes + 1, "{name}: {found:?}");
            assert!(found.iter().all(|(number, count)| usize::from(*number) <= classes && *count > least), "{name}: {found:?}");
            // Another label than those in the file is no empty mask, but an error.
            let error = labelled(json!({"labels": {"other": [1, 2, 3]}}), &image, &mask).unwrap_err();
            assert!(error.message().contains("no label has it"), "{error}");
        }
    }

    #[test]
    fn a_labelled_binary_mask_is_the_binary_mask() {
        for (image, mask) in [
            ("FIVES/train/Original/29_A.png", "FIVES/train/Ground truth/29_A.png"),
            ("CHASE_DB1/Image_01L.jpg", "CHASE_DB1/Image_01L_1stHO.png"),
            ("HRF/images/01_dr.jpg", "HRF/manual1/01_dr.tif"),
        ] {
            let (Some(image), Some(mask)) = (real(image), real(mask)) else { continue };
            let numbers = labelled(json!({"labels": {"vessel": 255}}), &image, &mask).unwrap();
            let shares: Vec<u8> = numbers.iter().map(|number| 255 * number).collect();
            assert!(shares == decoded(&image, &mask, MANY).unwrap().mask, "{}", mask.display());
        }
    }

    #[test]
    fn a_jpeg_needs_tolerance() {
        let dir = tempdir().unwrap();
        let drawn = RgbImage::from_fn(64, 48, |x, _| Rgb([[0, 0, 0], [250, 20, 20], [20, 20, 250]][x as usize / 8 % 3]));
        let image = saved(dir.path(), "image.png", drawn.clone(), ImageFormat::Png);
        let mask = saved(dir.path(), "mask.jpg", drawn, ImageFormat::Jpeg);
        let labels = || json!({"artery": [250, 20, 20], "vein": [20, 20, 250]});
        let error = labelled(json!({"labels": labels()}), &image, &mask).unwrap_err();
        assert!(error.mend().unwrap().contains("`tolerance`"), "{error}");
        let numbers = labelled(json!({"labels": labels(), "tolerance": 120, "other": "ignore"}), &image, &mask).unwrap();
        let right = numbers.iter().enumerate().filter(|(at, number)| at % 64 / 8 % 3 == usize::from(**number)).count();
        assert!(right * 10 > numbers.len() * 9, "{right} of {}", numbers.len());
    }

    #[test]
    fn classes_are_facts() {
        let check = |given: Value, facts: Facts| {
            let mut options = defaults(&kind());
            options.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            kind().run_check(&options, &[facts]).unwrap()
        };
        let checked = check(json!({"labels": {"artery": 1, "vein": 2}, "ignore_label": 3}), Facts::default());
        assert_eq!(checked.findings, []);
        assert_eq!(checked.facts.integer(fact::CLASSES), Some(3));
        assert_eq!(checked.facts.get(fact::CLASS_NAMES).unwrap().value, json!(["background", "artery", "vein"]));
        assert_eq!(checked.facts.integer(fact::IGNORE_INDEX), Some(255));
        assert_eq!(check(json!({}), Facts::default()).facts, Facts::default());
        let wrong = check(json!({"labels": {"artery": 0}}), Facts::default());
        assert_eq!(wrong.findings[0].place, Place::Option("labels.artery".into()));
    }

    #[test]
    fn labels_are_held_against_what_is_drawn() {
        let drawn = |classes: bool| {
            let source = crate::synthetic_fundus::kind();
            let mut options = defaults(&source);
            options["classes"] = json!(classes);
            source.run_check(&options, &[]).unwrap().facts
        };
        let found = |given: Value, classes: bool| {
            let mut options = defaults(&kind());
            options.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            let checked = kind().run_check(&options, &[drawn(classes)]).unwrap();
            assert!(checked.facts.get(DRAWN_VALUES).is_none());
            checked.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>()
        };
        let both = || json!({"artery": [255, 0, 0], "vein": [0, 0, 255]});
        assert_eq!(found(json!({}), false), [""; 0]);
        assert_eq!(found(json!({"labels": both()}), true), [""; 0]);
        assert_eq!(found(json!({"labels": {"artery": [255, 0, 0]}, "other": "background"}), true), [""; 0]);
        assert!(found(json!({}), true)[0].contains("drawn in [255, 0, 0] and [0, 0, 255], and decode has no `labels`"));
        assert_eq!(
            found(json!({"labels": {"artery": [255, 0, 0]}}), true),
            ["the drawn masks hold [0, 0, 255], which has no label"]
        );
        assert_eq!(found(json!({"labels": both()}), false), ["the drawn masks hold 255, which has no label"]);
        // As before the run, so in it.
        let stage = build(&kind(), json!({"labels": both()}), &context()).unwrap();
        let error =
            mapped::<_, ImagePair>(&stage, SampleFiles::Drawn { size: 64, seed: 5, classes: false }, "a", 0).unwrap_err();
        assert!(error.message().starts_with("the drawn mask has the value 255 at ("), "{error}");
        let stage = build(&kind(), json!({}), &context()).unwrap();
        assert!(mapped::<_, ImagePair>(&stage, SampleFiles::Drawn { size: 64, seed: 5, classes: true }, "a", 0).is_err());
    }

    #[test]
    fn a_drawn_sample_is_drawn() {
        let stage = build(&kind(), json!({}), &context()).unwrap();
        let pair: ImagePair = mapped(&stage, SampleFiles::Drawn { size: 64, seed: 5, classes: false }, "drawn", 0).unwrap();
        assert_eq!(pair, draw(64, 5));
    }
}
