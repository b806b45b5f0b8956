//! Files that users reported as read wrongly, and their like, drawn: what `decode` says of them. Not part of any build.

use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba};
use pipeline_contract::{Result, StageError};
use serde_json::{Value, json};

use crate::plausible::{self, Doubt, Kind};
use crate::testing::{build, context, mapped, reported};
use crate::{ImagePair, SampleFiles, decode};

const SIDE: u32 = 32;

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn photo() -> DynamicImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([90 + x as u8, 40 + y as u8, 7])).into()
}

/// What is said of a mask, the error or the doubt; also that the stage says the same of its file.
fn of_mask(mask: impl Into<DynamicImage>) -> Result<Option<Doubt>> {
    let mask = mask.into();
    let said = plausible::mask("the mask", &mask);
    let float = matches!(mask, DynamicImage::ImageRgb32F(_));
    let format = if float { ImageFormat::Tiff } else { ImageFormat::Png };
    let read = decode(&encoded(&photo(), ImageFormat::Png), &encoded(&mask, format), 4096);
    assert_eq!(read.is_ok(), said.is_ok(), "{said:?}");
    said
}

fn refused(said: Result<Option<Doubt>>, parts: &[&str]) {
    let error = said.unwrap_err();
    for part in parts {
        assert!(error.message().contains(part) || error.mend().unwrap().contains(part), "no {part} in {error:?}");
    }
}

fn doubted(said: Result<Option<Doubt>>, kind: Kind, part: &str) {
    let doubt = said.unwrap().unwrap();
    assert!(doubt.kind == kind && doubt.words.contains(part), "{doubt:?}");
}

/// Vessels at every eighth column.
fn vessels<T>(on: T, off: T) -> impl Fn(u32, u32) -> T
where
    T: Copy,
{
    move |x, _| if x % 8 == 0 { on } else { off }
}

fn grey(on: u8, off: u8) -> GrayImage {
    let at = vessels(Luma([on]), Luma([off]));
    GrayImage::from_fn(SIDE, SIDE, at)
}

fn colours(on: [u8; 3], off: [u8; 3]) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, vessels(Rgb(on), Rgb(off)))
}

/// Decodes a reported pair.
fn pair(folder: &Path, image: &str, mask: &str, given: Value) -> Result<ImagePair> {
    let files =
        SampleFiles::Pair { image: folder.join("images").join(image), mask: folder.join("masks").join(mask), inside: None };
    mapped(&build(&crate::decode::kind(), given, &context())?, files, "sample", 0)
}

/// That a reported pair is an error that says this of its file.
fn pair_refused(folder: &Path, image: &str, mask: &str, file: &str, parts: &[&str]) {
    let error: StageError = pair(folder, image, mask, json!({})).unwrap_err();
    assert!(error.message().contains(file) && error.mend().is_some(), "{error:?}");
    refused(Err(error), parts);
}

#[test]
fn binary_masks_of_every_kind_are_taken_without_a_word() {
    let wide = |on: u16| ImageBuffer::from_fn(SIDE, SIDE, vessels(Luma([on]), Luma([0])));
    let files: Vec<DynamicImage> = vec![
        grey(255, 0).into(),
        grey(1, 0).into(),
        grey(0, 0).into(),
        grey(200, 30).into(),
        colours([255; 3], [0; 3]).into(),
        colours([255, 0, 0], [0; 3]).into(),
        colours([255, 255, 0], [0; 3]).into(),
        // Noise of a JPEG.
        colours([250, 255, 249], [0, 6, 3]).into(),
        wide(65535).into(),
        wide(1).into(),
        ImageBuffer::from_fn(SIDE, SIDE, vessels(LumaA([255_u8, 255]), LumaA([0, 255]))).into(),
        // Transparent where there is no vessel.
        ImageBuffer::from_fn(SIDE, SIDE, vessels(Rgba([255_u8; 4]), Rgba([0; 4]))).into(),
        DynamicImage::from(grey(255, 0)).to_rgb32f().into(),
        ImageBuffer::from_fn(SIDE, SIDE, vessels(Rgb([255_f32; 3]), Rgb([0.0; 3]))).into(),
        // Made smaller by area: all shades.
        GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if x % 8 == 0 { (y * 8) as u8 } else { 0 }])).into(),
    ];
    for (number, mask) in files.into_iter().enumerate() {
        assert_eq!(of_mask(mask), Ok(None), "file {number}");
    }
}

#[test]
fn a_mask_of_colours_needs_labels() {
    for (on, off) in [([0, 255, 0], [0; 3]), ([0, 128, 0], [0; 3]), ([0, 0, 100], [0; 3]), ([255, 0, 0], [255; 3])] {
        refused(of_mask(colours(on, off)), &["in channel 0 everywhere", "which of its colours", "`labels`"]);
    }
    let both = |vein: [u8; 3]| {
        RgbImage::from_fn(SIDE, SIDE, move |x, _| Rgb(if x % 16 == 0 { [255, 0, 0] } else { vessels(vein, [0; 3])(x, 0) }))
    };
    refused(of_mask(both([0, 0, 255])), &["the colour [0, 0, 255] at (8, 0)", "vein: [0, 0, 255]"]);
    let wide = DynamicImage::from(both([0, 0, 255])).to_rgb16();
    refused(of_mask(wide), &["[0, 0, 65535] at (8, 0)"]);
    // The documented rule: the background may have a colour.
    doubted(of_mask(colours([255; 3], [0, 255, 255])), Kind::Colours, "[0, 255, 255] at (1, 0)");
    // Too few pixels to tell.
    let small = RgbImage::from_pixel(11, 9, Rgb([0, 255, 0])).into();
    assert_eq!(plausible::mask("the mask", &small), Ok(None));
    // One pixel may be noise.
    let mut noisy = colours([255; 3], [0; 3]);
    noisy.put_pixel(3, 3, Rgb([0, 90, 0]));
    doubted(of_mask(noisy), Kind::Colours, "at (3, 3)");

    let Some(folder) = reported("mask_colours") else { return };
    for (name, part) in
        [("green.png", "channel 0 everywhere"), ("voc_class_2.png", "channel 0 everywhere"), ("artery_vein.png", "[0, 0, 255]")]
    {
        pair_refused(&folder, name, name, &format!("masks/{name}"), &[part, "`labels`"]);
    }
}

#[test]
fn a_mask_in_alpha_is_not_read_as_empty() {
    let at = |value: u8| ImageBuffer::from_fn(SIDE, SIDE, vessels(LumaA([value, 255]), LumaA([value, 0])));
    refused(of_mask(at(0)), &["only its alpha differs", "white vessels on black"]);
    refused(of_mask(at(255)), &["only its alpha differs"]);
    let black = ImageBuffer::from_fn(SIDE, SIDE, vessels(Rgba([0_u8, 0, 0, 255]), Rgba([0; 4])));
    refused(of_mask(black), &["only its alpha differs"]);
    // Vessels that viewers hide, beside a few that they show.
    let at = |x: u32, y: u32| {
        Rgba(if x.is_multiple_of(8) { [255_u8, 255, 255, if y == 0 { 255 } else { 0 }] } else { [0, 0, 0, 255] })
    };
    doubted(of_mask(ImageBuffer::from_fn(SIDE, SIDE, at)), Kind::Alpha, "most vessels of the mask the mask are transparent");
}

#[test]
fn a_photograph_that_alpha_hides_is_told() {
    let said = |image: DynamicImage| plausible::photograph("the image", &image);
    let colours = photo().to_rgb8();
    let with = |alpha: fn(u32) -> u8| {
        ImageBuffer::from_fn(SIDE, SIDE, |x, y| {
            let Rgb([red, green, blue]) = *colours.get_pixel(x, y);
            Rgba([red, green, blue, alpha(x)])
        })
    };
    doubted(said(with(|_| 0).into()), Kind::Alpha, "100% of the photograph the image is transparent");
    doubted(said(with(|x| if x < 4 { 0 } else { 255 }).into()), Kind::Alpha, "12% of the photograph");
    doubted(said(DynamicImage::from(with(|_| 3)).to_rgba16().into()), Kind::Alpha, "100%");
    let grey = ImageBuffer::from_fn(SIDE, SIDE, |x, _| LumaA([90 + x as u8, 0]));
    doubted(said(grey.into()), Kind::Alpha, "100%");
    assert_eq!(said(with(|_| 255).into()), Ok(None));
    assert_eq!(said(with(|_| 128).into()), Ok(None), "seen");
    // A surround that is black beneath.
    let field = ImageBuffer::from_fn(SIDE, SIDE, |x, _| Rgba(if x < 9 { [0_u8; 4] } else { [90, 60, 30, 255] }));
    assert_eq!(said(field.into()), Ok(None));
}

#[test]
fn a_mask_of_labels_needs_labels() {
    // Two values are a mask whatever they are.
    for (vessel, other) in [(1, 0), (2, 0), (100, 0), (2, 1), (60, 50), (255, 200), (127, 0), (255, 0)] {
        assert_eq!(of_mask(grey(vessel, other)), Ok(None), "{vessel} {other}");
        let mask = decode(&encoded(&photo(), ImageFormat::Png), &encoded(&grey(vessel, other).into(), ImageFormat::Png), 4096);
        let expected: Vec<u8> = grey(255, 0).into_raw();
        assert_eq!(mask.unwrap().mask, expected, "{vessel} {other}");
    }
    let classes = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([[1, 2, 0, 0, 0, 0][x as usize % 6]]));
    refused(of_mask(classes), &["the values 0, 1 and 2, and none"]);
    let no_background = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([(x % 3) as u8]));
    doubted(of_mask(no_background), Kind::Faint, "no value above 2");
    let wide = |vessel: u16| ImageBuffer::from_fn(SIDE, SIDE, vessels(Luma([vessel]), Luma([0])));
    assert_eq!((of_mask(wide(255)), of_mask(wide(4095))), (Ok(None), Ok(None)));
    let three = ImageBuffer::from_fn(SIDE, SIDE, |x, _| Luma([[300_u16, 600, 0, 0, 0, 0][x as usize % 6]]));
    refused(of_mask(three), &["0, 300 and 600, and none is above 32767", "save it with 8 bits"]);
    // Two kinds of vessel, or one that is uncertain.
    for middle in [128, 200, 85] {
        let uncertain = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([[middle, 255, 0, 0, 0, 0][x as usize % 6]]));
        doubted(of_mask(uncertain), Kind::Values, &format!("the values 0, {middle} and 255"));
    }
    let noise = GrayImage::from_fn(SIDE, SIDE, |x, _| Luma([[254, 255, 0, 0, 0, 0][x as usize % 6]]));
    assert_eq!(of_mask(noise), Ok(None));
    // Shades, none of which is half.
    let faint = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([(x * 2 + y) as u8]));
    doubted(of_mask(faint), Kind::Faint, "no value above 93");
    doubted(of_mask(grey(7, 7)), Kind::Faint, "no value above 7");
    // 255 may be what is to be ignored.
    let ignored = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if x < 3 { 255 } else { u8::from((x + y) % 4 == 0) }]));
    doubted(of_mask(ignored), Kind::Values, "the values 0, 1 and 255, and only those above 127");

    let Some(folder) = reported("mask_labels") else { return };
    pair_refused(&folder, "labels.png", "labels.png", "masks/labels.png", &["0, 1 and 2,", "labels: {artery: 1, vein: 2}"]);
    for name in ["two.png", "hundred.png", "bits16.png"] {
        let stored = image::open(folder.join("masks").join(name)).unwrap().into_luma16();
        let expected: Vec<u8> = stored.iter().map(|&value| if value > 0 { 255 } else { 0 }).collect();
        assert_eq!(pair(&folder, name, name, json!({})).unwrap().mask, expected, "{name}");
    }
    assert!(pair(&folder, "two.png", "two.png", json!({"labels": {"vessel": 2}})).is_ok());
}

#[test]
fn a_mask_that_is_mostly_vessel_is_told_with_its_share() {
    doubted(of_mask(grey(0, 255)), Kind::Share, "87% of the mask the mask is vessel");
    doubted(of_mask(grey(0, 1)), Kind::Share, "87%");
    let field = GrayImage::from_fn(SIDE, SIDE, |x, y| {
        Luma([if x.abs_diff(16).pow(2) + y.abs_diff(16).pow(2) < 225 { 255 } else { 0 }])
    });
    doubted(of_mask(field), Kind::Share, "or a field of view?");
    let photograph = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([80 + 3 * x as u8 - y as u8, 60 + y as u8, 50]));
    doubted(of_mask(photograph), Kind::Grey, "a photograph?");

    let Some(folder) = reported("mask_mostly_vessel") else { return };
    for (name, mask) in
        [("inverted", "inverted.png"), ("field_of_view", "field_of_view.png"), ("tifffile_bool", "tifffile_bool.tif")]
    {
        doubted(plausible::mask(mask, &image::open(folder.join("masks").join(mask)).unwrap()), Kind::Share, "is vessel, and");
        assert!(pair(&folder, &format!("{name}.png"), mask, json!({})).is_ok(), "{name}");
    }
    let said = plausible::mask("m", &image::open(folder.join("masks/photograph.png")).unwrap()).unwrap().unwrap();
    assert!([Kind::Share, Kind::Grey].contains(&said.kind), "{said:?}");
    pair_refused(
        &folder,
        "red_on_white.png",
        "red_on_white.png",
        "masks/red_on_white.png",
        &["255 of 255 in channel 0 everywhere"],
    );
}

#[test]
fn fewer_bits_than_the_container_are_told() {
    let mask = encoded(&grey(255, 0).into(), ImageFormat::Png);
    let read = |image: DynamicImage| {
        let said = plausible::photograph("the image", &image);
        let read = decode(&encoded(&image, ImageFormat::Png), &mask, 4096);
        assert_eq!(read.is_ok(), said.is_ok(), "{said:?} {:?}", read.err());
        said
    };
    let wide =
        |most: u16| ImageBuffer::from_fn(SIDE, SIDE, |x, y| Rgb([most - (x * 7 + y) as u16 % (most / 2), most / 2 + 1, 3]));
    for (most, bits, factor) in [(255, 8, 256), (1023, 10, 64), (4095, 12, 16), (3000, 12, 16)] {
        let bound = (1 << bits) - 1;
        let parts =
            [format!("no value above {bound} of 65535: {bits} bits in 16?"), format!("multiply its values by {factor}")];
        refused(read(wide(most).into()), &parts.each_ref().map(String::as_str));
    }
    let grey = ImageBuffer::from_fn(SIDE, SIDE, |x, y| LumaA([1000 + (x * y) as u16, 65535]));
    refused(read(grey.into()), &["no value above 4095"]);
    doubted(read(wide(16383).into()), Kind::Range, "no value above 16383 of 65535: 14 bits in 16?");
    // The whole range, and dark photographs that had 8 bits.
    let dark = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([(x % 14) as u8, (y % 12) as u8, 2]));
    for image in [wide(65535).into(), wide(20000).into(), DynamicImage::from(dark).to_rgb16().into(), photo().to_rgb16().into()]
    {
        assert_eq!(read(image), Ok(None));
    }

    let Some(folder) = reported("bits_12_in_16") else { return };
    for (name, part) in [("12.png", "4095 of 65535: 12 bits"), ("10.png", "1023 of 65535: 10 bits")] {
        pair_refused(&folder, name, name, &format!("images/{name}"), &[part]);
    }
    doubted(plausible::photograph("m", &image::open(folder.join("images/14.png")).unwrap()), Kind::Range, "14 bits in 16");
}

#[test]
fn float_samples_beyond_their_range_are_told() {
    let mask = encoded(&grey(255, 0).into(), ImageFormat::Png);
    let image = |scale: f32, less: f32| {
        ImageBuffer::from_fn(SIDE, SIDE, move |x, y| Rgb([x, y, 16].map(|v| v as f32 / 32.0 * scale - less)))
    };
    let read = |image: DynamicImage| {
        let read = decode(&encoded(&image, ImageFormat::Tiff), &mask, 4096);
        let said = plausible::photograph("the image", &image);
        assert_eq!(read.is_ok(), said.is_ok(), "{said:?} {:?}", read.err());
        said
    };
    assert_eq!(read(image(1.0, 0.0).into()), Ok(None));
    // Resampling overshoots.
    assert_eq!(read(image(1.2, 0.1).into()), Ok(None));
    refused(read(image(255.0, 0.0).into()), &["float samples from 0 to 247", "divide them by 255"]);
    refused(read(image(65535.0, 0.0).into()), &["scale them to 0 to 1"]);
    refused(read(image(2.0, 1.0).into()), &["from -1 to 0.9375"]);
    refused(read(image(f32::NAN, 0.0).into()), &["aren't finite"]);
    let rgba = ImageBuffer::from_fn(SIDE, SIDE, |x, _| Rgba([x as f32 * 8.0, 3.0, 2.0, 1.0]));
    refused(read(rgba.into()), &["from 0 to 248"]);
    // Masks: shades of 0 to 255 would all be vessel.
    refused(of_mask(image(255.0, 0.0)), &["the mask has float samples"]);
    let labels = |on: f32| ImageBuffer::from_fn(SIDE, SIDE, vessels(Rgb([on; 3]), Rgb([0.0; 3]))).into();
    assert!(plausible::labelled("m", &labels(255.0)).is_ok() && plausible::labelled("m", &labels(1.0)).is_ok());
    assert!(plausible::labelled("m", &labels(2.0)).is_err(), "2 would be cut off at 1");

    let Some(folder) = reported("float_tiff") else { return };
    pair_refused(&folder, "1.tif", "1.png", "images/1.tif", &["float samples from 0", "divide them by 255"]);
}

/// A JPEG with EXIF data that hold an orientation alone.
fn turned(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let image = RgbImage::from_pixel(width, height, Rgb([90, 60, 30]));
    let jpeg = encoded(&image.into(), ImageFormat::Jpeg);
    let exif =
        [b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[orientation], b"\0\0\0\0\0\0"].concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn an_orientation_that_the_mask_does_not_have_is_told() {
    let mask = |width, height| encoded(&GrayImage::new(width, height).into(), ImageFormat::Png);
    for orientation in 5..=8 {
        let pair = decode(&turned(8, 6, orientation), &mask(6, 8), 4096).unwrap();
        let stored = decode(&turned(8, 6, orientation), &mask(8, 6), 4096).unwrap().image;
        let mut shown = DynamicImage::from(RgbImage::from_raw(8, 6, stored).unwrap());
        shown.apply_orientation(Orientation::from_exif(orientation).unwrap());
        assert_eq!((pair.height, pair.width, pair.image), (8, 6, shown.into_rgb8().into_raw()));
    }
    // Stored alike: the mask was drawn on the pixels.
    assert!(decode(&turned(8, 6, 6), &mask(8, 6), 4096).is_ok());
    let error = decode(&turned(8, 6, 3), &mask(6, 8), 4096).unwrap_err();
    assert!(!error.message().contains("EXIF"), "{error}");
    let [none, half, quarter] = [1, 3, 6].map(|exif| Orientation::from_exif(exif).unwrap());
    let said = |size, both| plausible::orientation("photo.jpg", size, both, false).map(|doubt| doubt.words);
    let doubt = plausible::orientation("photo.jpg", [8, 6], [quarter, none], true).unwrap();
    assert!(doubt.kind == Kind::Turned && doubt.words.contains("EXIF orientation 6"), "{doubt:?}");
    // A mask that is turned, too, or of another size.
    assert!(
        !plausible::fits_upright([6, 8], [8, 6], [quarter, half]) && !plausible::fits_upright([6, 8], [8, 7], [quarter, none])
    );
    assert_eq!(
        [said([6, 8], [quarter, none]), said([8, 8], [quarter, quarter]), said([8, 8], [none, none])],
        [None, None, None]
    );
    for (size, both) in [([8, 8], [quarter, none]), ([6, 8], [half, none]), ([8, 8], [none, quarter])] {
        assert!(said(size, both).unwrap().contains("EXIF orientation"), "{size:?}");
    }

    let Some(folder) = reported("exif_orientation") else { return };
    let oblong = pair(&folder, "oblong.jpg", "oblong.png", json!({})).unwrap();
    let mut shown = image::open(folder.join("images/oblong.jpg")).unwrap();
    shown.apply_orientation(quarter);
    assert_eq!(oblong.image, shown.into_rgb8().into_raw());
    assert_eq!(oblong.doubts[0].kind, "orientation_applied");
    let opened = crate::open::open(&folder.join("images/square.jpg"), 1 << 20).unwrap();
    assert!(said([opened.height, opened.width], [opened.orientation, none]).unwrap().contains("EXIF orientation 6"));
}

#[test]
fn files_that_are_whole_are_not_called_damaged() {
    let jpeg = encoded(&photo(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    let mask = encoded(&grey(255, 0).into(), ImageFormat::Png);
    assert!(decode(&jpeg, &mask, 4096).is_ok());
    for (at, value, part) in [
        (frame + 1, 0xc3, "lossless JPEG"),
        (frame + 1, 0xc9, "arithmetic coding"),
        (frame + 1, 0xc5, "hierarchical"),
        (frame + 4, 12, "12 bits a sample"),
    ] {
        let mut other = jpeg.clone();
        other[at] = value;
        refused(decode(&other, &mask, 4096).map(|_| None), &["not supported", "convert it", part]);
    }

    let Some(folder) = reported("valid_but_called_damaged") else { return };
    for (image, mask) in [("lossless.jpg", "lossless.png"), ("zstd.tif", "zstd.png"), ("twelve_bit.jpg", "twelve_bit.png")] {
        pair_refused(&folder, image, mask, &format!("images/{image}"), &["not supported", "convert it"]);
    }
    for name in ["float64", "jpeg_ycbcr", "grey_float32", "palette"] {
        let read = pair(&folder, &format!("{name}.tif"), &format!("{name}.png"), json!({})).unwrap();
        let mean = read.image.iter().map(|&value| f64::from(value)).sum::<f64>() / read.image.len() as f64;
        assert!((40.0..160.0).contains(&mean), "{name}: {mean}");
    }
}

#[test]
fn a_jpeg_that_is_damaged_inside_is_not_filled_up() {
    let Some(folder) = reported("jpeg_damaged_inside") else { return };
    for name in ["zeros", "ff_block", "cut_and_closed"] {
        let (image, mask) = (format!("{name}.jpg"), format!("{name}.png"));
        pair_refused(
            &folder,
            &image,
            &mask,
            &format!("images/{image}"),
            &["its data are damaged, at byte", "truncated or damaged"],
        );
    }
}

#[test]
fn a_jpeg_in_a_tiff_is_walked_over_too() {
    let Some(folder) = reported("valid_but_called_damaged") else { return };
    let whole = std::fs::read(folder.join("images/jpeg_ycbcr.tif")).unwrap();
    let read = |file: &[u8]| crate::open::header(Cursor::new(file), Path::new("x.tif"), 4096).unwrap().rgb();
    assert!(read(&whole).is_ok());
    for (from, fill) in [(1500, 0xff), (2000, 0), (2600, 0x55)] {
        let mut other = whole.clone();
        other[from..from + 60].fill(fill);
        let error = read(&other).unwrap_err();
        assert!(error.message().contains("part 1 of it, a JPEG: its data are damaged"), "{error}");
    }
}

/// A BigTIFF of grey pixels, 4 x 1.
fn bigtiff(little: bool, pixels: [u8; 4]) -> Vec<u8> {
    let number = |value: u64, bytes: usize| match little {
        true => value.to_le_bytes()[..bytes].to_vec(),
        false => value.to_be_bytes()[8 - bytes..].to_vec(),
    };
    let mut file =
        [if little { b"II" } else { b"MM" }.to_vec(), number(43, 2), number(8, 2), number(0, 2), number(16, 8)].concat();
    let entries = [(256, 4), (257, 1), (258, 8), (259, 1), (262, 1), (273, 212), (277, 1), (278, 1), (279, 4)];
    file.extend(number(entries.len() as u64, 8));
    for (tag, value) in entries {
        file.extend([number(tag, 2), number(16, 2), number(1, 8), number(value, 8)].concat());
    }
    file.extend(number(0, 8));
    file.extend(pixels);
    file
}

#[test]
fn a_bigtiff_is_a_tiff() {
    for little in [true, false] {
        let [photo, mask] = [[90, 80, 70, 60], [255, 0, 0, 255]].map(|pixels| bigtiff(little, pixels));
        assert_eq!(photo.len(), 216);
        let pair = decode(&photo, &mask, 4096).unwrap();
        assert_eq!((&pair.image[..4], &pair.mask[..]), (&[90, 90, 90, 80][..], &[255, 0, 0, 255][..]));
        assert!(decode(&photo[..214], &mask, 4096).is_err(), "cut");
    }

    let Some(folder) = reported("bigtiff") else { return };
    let read = pair(&folder, "1.tif", "1.png", json!({})).unwrap();
    assert!(read.image.iter().any(|&value| value > 40));
}
