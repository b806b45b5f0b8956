//! `resize`: every pair gets one size. The image is filtered, and a mask becomes each pixel's share of vessel, so that thin vessels
//! survive in both; class numbers stay what they are. Crops nothing.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use pipeline_contract::{Checked, ItemContext, Map, OptionSpec, OptionType, Result, StageError, StageKind, fact};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::values::height_width;
use crate::{ImagePair, MaskKind, Original, OwnPixels};

#[derive(Deserialize)]
struct Options {
    #[serde(deserialize_with = "height_width")]
    size: [usize; 2],
    filter: Filter,
    fit: Fit,
    masks: Masks,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Masks {
    Area,
    Nearest,
}

/// A filter for the image, over all pixels that fall into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Triangle.
    Bilinear,
    /// Cubic, through the pixels.
    CatmullRom,
    /// Sinc with three lobes.
    Lanczos3,
    /// The plain mean.
    Box,
}

/// What becomes of another aspect ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Image and mask are stretched.
    Stretch,
    /// The ratio is kept, and the rest is black.
    Pad,
}

/// How photographs were brought to one size: the value of [`fact::RESIZED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resized {
    /// Height and width in pixels.
    pub size: [usize; 2],
    /// For another aspect ratio.
    pub fit: Fit,
    /// The filter for the image.
    pub filter: Filter,
}

/// Declares `resize`.
pub fn kind() -> StageKind {
    let side = || OptionType::Integer { min: 1, max: 1 << 15 };
    StageKind::map("resize", "resizes image and mask to one size", |options: Options, _| Ok(Resize(options)))
        .option(OptionSpec::required(
            "size",
            OptionType::AnyOf(vec![side(), OptionType::List { of: Box::new(side()), min: 2, max: 2 }]),
            "height and width in pixels: one number for a square, or [height, width]",
        ))
        .option(OptionSpec::new(
            "filter",
            OptionType::Choice(&["bilinear", "catmull_rom", "lanczos3", "box"]),
            "bilinear",
            "filter for the image, over all pixels that fall into one (box is the plain mean)",
        ))
        .option(OptionSpec::new(
            "masks",
            OptionType::Choice(&["area", "nearest"]),
            "area",
            "how masks are resized: by area, so that a pixel holds how much of it is vessel and thin vessels aren't lost; or the nearest \
             pixel, 0 or 255. Masks with `labels` take the nearest",
        ))
        .option(OptionSpec::new(
            "fit",
            OptionType::Choice(&["stretch", "pad"]),
            "stretch",
            "for another aspect ratio: stretch, or keep it and pad with black",
        ))
        .check::<Options>(|options, inputs| {
            let mut facts = inputs.first().cloned().unwrap_or_default();
            let resized = Resized { size: options.size, fit: options.fit, filter: options.filter };
            facts.set(fact::RESIZED, json!(resized), "size");
            facts.set(fact::HEIGHT, options.size[0], "size");
            facts.set(fact::WIDTH, options.size[1], "size");
            Checked::facts(facts)
        })
        .example("- {id: resize, use: resize, with: {size: 512}}")
}

struct Resize(Options);

impl Map for Resize {
    type In = ImagePair;
    type Out = ImagePair;

    fn map(&self, pair: ImagePair, _: &ItemContext<'_>) -> Result<ImagePair> {
        let [height, width] = self.0.size;
        let from = [pair.height, pair.width];
        if from == self.0.size {
            return Ok(pair);
        }
        let to = match self.0.fit {
            Fit::Stretch => [height, width],
            Fit::Pad => inside(from, [height, width]),
        };
        let image = resize_image(&pair.image, from, to, self.0.filter)?;
        let mask = match (pair.kind, self.0.masks) {
            (MaskKind::Share, Masks::Area) => mean_by_area(&pair.mask, from, to),
            _ => nearest(&pair.mask, from, to),
        };
        let margin = [(height - to[0]) / 2, (width - to[1]) / 2];
        let original = pair.original.map(|original| {
            let shown = original.shown;
            let scaled = |at: usize, axis: usize| at * to[axis] / from[axis];
            let [top, left] = [0, 1].map(|axis| scaled(shown[axis], axis) + margin[axis]);
            let pixels = match original.pixels {
                OwnPixels::OfPair => OwnPixels::Kept(pair.image),
                other => other,
            };
            Box::new(Original { pixels, shown: [top, left, scaled(shown[2], 0), scaled(shown[3], 1)], ..*original })
        });
        Ok(ImagePair {
            height,
            width,
            image: padded(image, to, [height, width], 3),
            mask: padded(mask, to, [height, width], 1),
            kind: pair.kind,
            normalization: pair.normalization,
            original,
            doubts: pair.doubts,
        })
    }
}

/// The largest size of the shape `from` that fits into `to`, each `[height, width]`.
pub(crate) fn inside(from: [usize; 2], to: [usize; 2]) -> [usize; 2] {
    // Compares to[0] / from[0] with to[1] / from[1] without rounding.
    let rounded = |side: usize, up: usize, down: usize| ((side * up + down / 2) / down).max(1);
    if to[0] * from[1] <= to[1] * from[0] {
        [to[0], rounded(from[1], to[0], from[0]).min(to[1])]
    } else {
        [rounded(from[0], to[1], from[1]).min(to[0]), to[1]]
    }
}

/// Resizes RGB pixels `[height, width, 3]` from one `[height, width]` to another.
pub(crate) fn resize_image(image: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| StageError::new(format!("{from:?} pixels can't become {to:?}: {error}"));
    let [[height, width], [new_height, new_width]] = [from, to].map(|size| size.map(|side| side as u32));
    let mut resized = vec![0; to[0] * to[1] * 3];
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, image).map_err(|error| failed(&error))?;
    let mut target = TypedImage::<U8x3>::from_buffer(new_width, new_height, &mut resized).map_err(|error| failed(&error))?;
    let filter = match filter {
        Filter::Bilinear => FilterType::Bilinear,
        Filter::CatmullRom => FilterType::CatmullRom,
        Filter::Lanczos3 => FilterType::Lanczos3,
        Filter::Box => FilterType::Box,
    };
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))?;
    Ok(resized)
}

/// Resizes a mask `[height, width]`: each pixel takes the one that its centre falls into, `floor((x + 0.5) * from / to)`.
fn nearest(mask: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let nearest = |at: usize, axis: usize| (2 * at + 1) * from[axis] / (2 * to[axis]);
    let columns: Vec<usize> = (0..to[1]).map(|x| nearest(x, 1)).collect();
    let mut resized = Vec::with_capacity(to[0] * to[1]);
    for y in 0..to[0] {
        let row = &mask[nearest(y, 0) * from[1]..][..from[1]];
        resized.extend(columns.iter().map(|&x| row[x]));
    }
    resized
}

/// Resizes a mask `[height, width]`: each pixel takes the mean over the area that it covers, rounded. Whole numbers only, so the result
/// is the same on every machine.
fn mean_by_area(mask: &[u8], from: [usize; 2], to: [usize; 2]) -> Vec<u8> {
    let [rows, columns] = [0, 1].map(|axis| covers(from[axis], to[axis]));
    let whole = (from[0] * from[1]) as u64;
    let mut resized = Vec::with_capacity(to[0] * to[1]);
    let mut sums = vec![0u64; to[1]];
    for row in &rows {
        sums.fill(0);
        for (y, weight) in row.pixels() {
            let values = &mask[y * from[1]..][..from[1]];
            if values.iter().all(|&value| value == 0) {
                continue;
            }
            for (sum, column) in sums.iter_mut().zip(&columns) {
                let across: u64 = column.pixels().map(|(x, weight)| weight * u64::from(values[x])).sum();
                *sum += weight * across;
            }
        }
        // A mean of bytes is a byte.
        resized.extend(sums.iter().map(|sum| ((sum + whole / 2) / whole) as u8));
    }
    resized
}

/// The pixels of one side that a resized pixel covers.
struct Cover {
    /// The first and the last.
    ends: [usize; 2],
    /// How much is covered of the first, of each between, and of the last; all together are the side's number of pixels.
    weights: [u64; 3],
}

impl Cover {
    fn pixels(&self) -> impl Iterator<Item = (usize, u64)> {
        let ([first, last], [start, middle, end]) = (self.ends, self.weights);
        (first..=last).map(move |at| {
            (
                at,
                if at == first {
                    start
                } else if at == last {
                    end
                } else {
                    middle
                },
            )
        })
    }
}

/// What each of `to` pixels covers of `from`, where a pixel of the first is as wide as `from` and one of the second as `to`.
fn covers(from: usize, to: usize) -> Vec<Cover> {
    let cover = |at: usize| {
        let (start, end) = (at * from, (at + 1) * from);
        let (first, last) = (start / to, (end - 1) / to);
        let head = ((first + 1) * to).min(end) - start;
        Cover { ends: [first, last], weights: [head as u64, to as u64, (end - last * to) as u64] }
    };
    (0..to).map(cover).collect()
}

/// Puts pixels of `channels` values into the middle of a black picture.
fn padded(pixels: Vec<u8>, from: [usize; 2], to: [usize; 2], channels: usize) -> Vec<u8> {
    if from == to {
        return pixels;
    }
    let (top, left) = ((to[0] - from[0]) / 2, (to[1] - from[1]) / 2);
    let mut all = vec![0; to[0] * to[1] * channels];
    for (y, row) in pixels.chunks_exact(from[1] * channels).enumerate() {
        all[((top + y) * to[1] + left) * channels..][..row.len()].copy_from_slice(row);
    }
    all
}

#[cfg(test)]
mod tests {
    use pipeline_contract::{Facts, Payload};
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{build, context, defaults, distinct, mapped};

    fn resized(given: Value, pair: ImagePair) -> ImagePair {
        mapped(&build(&kind(), given, &context()).unwrap(), pair, "sample", 0).unwrap()
    }

    #[test]
    fn a_mask_of_classes_takes_the_pixel_under_its_centre() {
        for (from, to) in [([7, 5], [3, 4]), ([4, 4], [8, 8]), ([9, 9], [4, 2]), ([5, 3], [11, 7])] {
            let pair = ImagePair { kind: MaskKind::Class, ..distinct(from[0], from[1]) };
            let out = resized(json!({"size": to}), pair.clone());
            let shares = ImagePair { kind: MaskKind::Share, ..pair.clone() };
            assert_eq!(resized(json!({"size": to, "masks": "nearest"}), shares).mask, out.mask);
            for y in 0..to[0] {
                for x in 0..to[1] {
                    let source =
                        |at: usize, axis: usize| ((at as f64 + 0.5) * from[axis] as f64 / to[axis] as f64).floor() as usize;
                    let expected = pair.mask[source(y, 0) * from[1] + source(x, 1)];
                    assert_eq!(out.mask[y * to[1] + x], expected, "{from:?} to {to:?} at {y}, {x}");
                }
            }
            assert_eq!(out.bytes(), (to[0] * to[1] * 4) as u64);
        }
    }

    #[test]
    fn a_mask_becomes_the_share_of_vessel_in_each_pixel() {
        for (from, to) in [([7, 5], [3, 4]), ([4, 4], [8, 8]), ([9, 9], [4, 2]), ([5, 3], [11, 7]), ([64, 48], [10, 31])] {
            let pair = distinct(from[0], from[1]);
            let out = resized(json!({"size": to}), pair.clone());
            let overlap = |at: usize, of: usize, axis: usize| {
                let [from, to] = [from[axis] as f64, to[axis] as f64];
                let (start, end) = (at as f64 * from / to, (at + 1) as f64 * from / to);
                (end.min(of as f64 + 1.0) - start.max(of as f64)).max(0.0) * to / from
            };
            for (at, &share) in out.mask.iter().enumerate() {
                let (y, x) = (at / to[1], at % to[1]);
                let places = (0..from[0]).flat_map(|v| (0..from[1]).map(move |u| (v, u)));
                let mean: f64 =
                    places.map(|(v, u)| overlap(y, v, 0) * overlap(x, u, 1) * f64::from(pair.mask[v * from[1] + u])).sum();
                assert!((mean - f64::from(share)).abs() <= 0.5 + 1e-9, "{from:?} to {to:?}: {share} for {mean}");
            }
        }
        // No vessel is lost: a line of one pixel in nine is a ninth of each pixel.
        let line = ImagePair { mask: (0..81).map(|at| if at % 9 == 4 { 255 } else { 0 }).collect(), ..distinct(9, 9) };
        assert_eq!(resized(json!({"size": 1}), line).mask, [28]);
        let full = ImagePair { mask: vec![255; 35], ..distinct(5, 7) };
        assert_eq!(resized(json!({"size": [3, 4]}), full).mask, [255; 12]);
    }

    #[test]
    fn smaller_images_are_means_and_flat_ones_stay_flat() {
        let mut pair = distinct(8, 8);
        let box_mean = resized(json!({"size": 4, "filter": "box"}), pair.clone());
        let mean = [0, 1, 8, 9].map(|at: usize| u32::from(pair.image[at * 3])).iter().sum::<u32>() as f64 / 4.0;
        assert!((f64::from(box_mean.image[0]) - mean).abs() <= 0.51);
        // A vessel of one dark pixel in eight must darken the result: nearest would lose it or make it full.
        pair.image = (0..64).flat_map(|at| [if at % 8 == 3 { 0 } else { 200 }; 3]).collect();
        for filter in ["bilinear", "box", "catmull_rom", "lanczos3"] {
            let out = resized(json!({"size": [1, 2], "filter": filter}), pair.clone());
            assert!(out.image[0] < 180 && out.image[0] > 80, "{filter}: {:?}", out.image);
            let flat = ImagePair { image: vec![77; 192], ..pair.clone() };
            assert!(
                resized(json!({"size": [5, 19], "filter": filter}), flat).image.iter().all(|&value| value == 77),
                "{filter}"
            );
        }
    }

    #[test]
    fn padding_keeps_the_shape_and_the_middle() {
        let pair = ImagePair { image: vec![200; 60], mask: vec![255; 20], ..distinct(2, 10) };
        let out = resized(json!({"size": 10, "fit": "pad"}), pair);
        for y in 0..10 {
            let inside = (4..6).contains(&y);
            assert_eq!(out.image[y * 30], if inside { 200 } else { 0 }, "row {y}");
            assert_eq!(out.mask[y * 10 + 9], if inside { 255 } else { 0 }, "row {y}");
        }
        assert_eq!(inside([2336, 3504], [512, 512]), [341, 512]);
        assert_eq!(inside([3504, 2336], [512, 512]), [512, 341]);
        assert_eq!(inside([1, 4000], [8, 8]), [1, 8]);
    }

    #[test]
    fn the_same_size_is_left_alone_and_the_size_is_a_fact() {
        assert_eq!(resized(json!({"size": [3, 5]}), distinct(3, 5)), distinct(3, 5));
        let mut options = defaults(&kind());
        options["size"] = json!([3, 5]);
        let facts = kind().run_check(&options, &[Facts::default()]).unwrap().facts;
        assert_eq!((facts.integer(fact::HEIGHT), facts.integer(fact::WIDTH)), (Some(3), Some(5)));
        assert_eq!(facts.get(fact::WIDTH).unwrap().option, "size");
    }
}
