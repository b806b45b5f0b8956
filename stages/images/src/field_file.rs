//! Reads a photograph's field of view from the file that a data set has for it, as DRIVE does. Where there is no such file, `field_of_view` finds
//! the field in the photograph.

use std::path::Path;

use pipeline_contract::{Result, StageError};

use crate::open::open;

/// The field of view that `file` holds for `photo`, a photograph of `height` x `width` pixels: `[height, width]`, 1 where channel 0 is above half of
/// its range, else 0. `None` where that is everywhere, as [`field_of_view`](crate::field_of_view::field_of_view) has it.
///
/// # Errors
/// When the file can't be read, has more than `max_pixels` pixels or another size than the photograph, or holds no bright pixel.
pub(crate) fn read(file: &Path, photo: &Path, [height, width]: [usize; 2], max_pixels: u64) -> Result<Option<Vec<u8>>> {
    let opened = open(file, max_pixels)?;
    let shown = file.display();
    if [opened.height, opened.width] != [height, width] {
        return Err(StageError::new(format!(
            "image and field of view differ in size: {} is {width} x {height}, {shown} is {} x {} pixels",
            photo.display(),
            opened.width,
            opened.height,
        ))
        .help("export the field of view at the image's size, or exclude this sample"));
    }
    let mut inside = opened.quiet_mask()?;
    inside.iter_mut().for_each(|value| *value /= 255);
    inside.shrink_to_fit();
    if !inside.contains(&1) {
        let message = format!("{shown} leaves nothing of the photograph: no value in it is above half of its range");
        return Err(StageError::new(message)
            .help("a field of view is white inside and black outside; correct it, or exclude this sample"));
    }
    Ok(inside.contains(&0).then_some(inside))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};
    use pipeline_contract::{BuildContext, Facts, fact};
    use serde_json::json;
    use tempfile::tempdir;

    use super::*;
    use crate::field_of_view::field_of_view;
    use crate::testing::{build, context, mapped, real};
    use crate::{ImagePair, SampleFiles, decode, draw};

    fn saved(dir: &Path, name: &str, image: impl Into<DynamicImage>, format: ImageFormat) -> PathBuf {
        let path = dir.join(name);
        image.into().save_with_format(&path, format).unwrap();
        path
    }

    /// A build of `decode` below a source with these facts.
    fn below(known: &[&str]) -> BuildContext {
        let mut facts = Facts::default();
        known.iter().for_each(|name| facts.set(name, 1, ""));
        BuildContext { facts: vec![facts], ..context() }
    }

    fn decoded(files: &SampleFiles, known: &[&str]) -> Result<ImagePair> {
        mapped(&build(&decode::kind(), json!({}), &below(known))?, files.clone(), "sample", 0)
    }

    const SCORED: [&str; 2] = [fact::EVALUATED, fact::FIELD_OF_VIEW];

    #[test]
    fn the_file_decides_and_not_the_photograph() {
        let dir = tempdir().unwrap();
        let size = 96;
        let photo = RgbImage::from_raw(size, size, draw(size as usize, 3).image).unwrap();
        let image = saved(dir.path(), "01_test.tif", photo, ImageFormat::Tiff);
        let mask = saved(dir.path(), "01_manual1.gif", RgbImage::new(size, size), ImageFormat::Gif);
        // A square, as no camera has.
        let within = |x: u32, y: u32| (20..70).contains(&x) && (30..90).contains(&y);
        let white = |x, y| Rgb([if within(x, y) { 255 } else { 0 }; 3]);
        let field = saved(dir.path(), "01_test_mask.gif", RgbImage::from_fn(size, size, white), ImageFormat::Gif);
        let files =
            |inside: Option<&PathBuf>| SampleFiles::Pair { image: image.clone(), mask: mask.clone(), inside: inside.cloned() };
        let expected: Vec<u8> = (0..size).flat_map(|y| (0..size).map(move |x| u8::from(within(x, y)))).collect();
        let original = decoded(&files(Some(&field)), &SCORED).unwrap().original.unwrap();
        assert_eq!(original.inside, Some(expected.clone()));
        assert_eq!(original.inside.as_ref().map(Vec::capacity), Some(expected.len()), "budgets count spare capacity");
        let found = decoded(&files(None), &SCORED).unwrap().original.unwrap().inside.unwrap();
        assert_ne!(found, expected);
        // Training reads neither, and no evaluator asks for it in the last.
        let missing = dir.path().join("02_test_mask.gif");
        assert_eq!(decoded(&files(Some(&missing)), &[]).unwrap().original, None);
        for inside in [Some(&missing), None] {
            assert_eq!(decoded(&files(inside), &[fact::EVALUATED]).unwrap().original.unwrap().inside, None);
        }
        let error = decoded(&files(Some(&missing)), &SCORED).unwrap_err();
        assert!(error.message().contains("02_test_mask.gif can't be read"), "{error}");
    }

    #[test]
    fn a_field_of_any_depth_is_cut_at_half_and_a_full_one_is_the_frame() {
        let dir = tempdir().unwrap();
        let values = [0_u8, 127, 128, 255];
        let narrow = GrayImage::from_fn(4, 1, |x, _| Luma([values[x as usize]]));
        let wide = image::ImageBuffer::<Luma<u16>, _>::from_fn(4, 1, |x, _| Luma([[0, 32767, 32768, 65535][x as usize]]));
        let png = ImageFormat::Png;
        let read = |path: PathBuf| read(&path, Path::new("a.png"), [1, 4], 100);
        assert_eq!(read(saved(dir.path(), "8", narrow, png)).unwrap(), Some(vec![0, 0, 1, 1]));
        assert_eq!(read(saved(dir.path(), "16", wide, png)).unwrap(), Some(vec![0, 0, 1, 1]));
        assert_eq!(read(saved(dir.path(), "full", GrayImage::from_pixel(4, 1, Luma([255])), png)).unwrap(), None);
        let error = read(saved(dir.path(), "none", GrayImage::new(4, 1), png)).unwrap_err();
        assert!(error.message().contains("none leaves nothing") && error.mend().is_some(), "{error}");
        let error = read(saved(dir.path(), "other", GrayImage::new(1, 4), png)).unwrap_err();
        for part in ["a.png is 4 x 1", "other is 1 x 4"] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn a_real_photograph_s_field_comes_back_from_a_file() {
        let (Some(image), Some(mask)) = (real("CHASE_DB1/Image_01L.jpg"), real("CHASE_DB1/Image_01L_1stHO.png")) else {
            return;
        };
        let dir = tempdir().unwrap();
        let files = |inside| SampleFiles::Pair { image: image.clone(), mask: mask.clone(), inside };
        let pair = decoded(&files(None), &SCORED).unwrap();
        let found = pair.original.unwrap().inside.unwrap();
        assert_eq!(field_of_view(&pair.image, pair.height, pair.width).as_ref(), Some(&found));
        let white = |x: u32, y: u32| Luma([255 * found[y as usize * pair.width + x as usize]]);
        let field =
            saved(dir.path(), "01L.tif", GrayImage::from_fn(pair.width as u32, pair.height as u32, white), ImageFormat::Tiff);
        assert_eq!(decoded(&files(Some(field)), &SCORED).unwrap().original.unwrap().inside, Some(found));
    }
}
