//! Gives each pixel of a decoded mask the number of its class. What a value stands for is in `labels`.

use std::fmt::Display;

use image::DynamicImage;
use pipeline_contract::StageError;

use crate::labels::{Labels, shown};
use crate::values::narrow;

/// A pixel whose value has no label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unlabelled {
    /// The pixel's place: row by row, from 0.
    at: usize,
    value: String,
}

impl Unlabelled {
    /// Pixel `at` has this value.
    pub(crate) fn new(at: usize, value: [u8; 3]) -> Self {
        Self { at, value: shown(value) }
    }

    /// The error of a mask of this name and width.
    pub(crate) fn error(&self, mask: impl Display, width: usize) -> StageError {
        let (x, y) = (self.at % width.max(1), self.at / width.max(1));
        StageError::new(format!("{mask} has the value {} at ({x}, {y}), and no label has it", self.value)).help(
            "add it to `labels` of the decode stage; or set `other` to background or ignore, or `tolerance` for a JPEG's colours",
        )
    }
}

/// The class numbers of a mask's pixels, `[height, width]`. Alpha is left out.
///
/// Values of 16 bit are taken as they are where none is above 255 (a map of class numbers), otherwise as 257 times those of 8 bit.
///
/// # Errors
/// The first pixel without a label, where that is an error.
pub(crate) fn assign(pixels: DynamicImage, labels: &Labels) -> Result<Vec<u8>, Unlabelled> {
    let channels = usize::from(pixels.color().channel_count());
    match pixels {
        DynamicImage::ImageLuma16(pixels) => wide(&pixels, channels, labels),
        DynamicImage::ImageLumaA16(pixels) => wide(&pixels, channels, labels),
        DynamicImage::ImageRgb16(pixels) => wide(&pixels, channels, labels),
        DynamicImage::ImageRgba16(pixels) => wide(&pixels, channels, labels),
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => bytes(pixels.to_rgb8().into_raw(), 3, labels),
        pixels => bytes(pixels.into_bytes(), channels, labels),
    }
}

/// In the buffer that holds the pixels already.
fn bytes(mut values: Vec<u8>, channels: usize, labels: &Labels) -> Result<Vec<u8>, Unlabelled> {
    let pixels = values.len() / channels;
    let mut last = Last(None);
    for at in 0..pixels {
        let value = colour(&values[at * channels..][..channels]);
        values[at] = last.number(value, labels).ok_or_else(|| Unlabelled::new(at, value))?;
    }
    values.truncate(pixels);
    Ok(values)
}

fn wide(values: &[u16], channels: usize, labels: &Labels) -> Result<Vec<u8>, Unlabelled> {
    let colours = || values.chunks_exact(channels).map(colour);
    let as_they_are = colours().flatten().all(|value| value <= 255);
    let fits = |value: u16| as_they_are || value.is_multiple_of(257) || labels.tolerance > 0;
    let byte = |value: u16| if as_they_are { value as u8 } else { narrow(value) };
    let mut last = Last(None);
    let number = |(at, value): (usize, [u16; 3])| {
        let number = if value.iter().all(|&value| fits(value)) { last.number(value.map(byte), labels) } else { labels.other };
        let range = if as_they_are { "" } else { " of 65535" };
        number.ok_or_else(|| Unlabelled { at, value: format!("{}{range}", shown(value)) })
    };
    colours().enumerate().map(number).collect()
}

/// Red, green and blue of a pixel; grey is repeated.
fn colour<T: Copy>(pixel: &[T]) -> [T; 3] {
    match *pixel {
        [red, green, blue, ..] => [red, green, blue],
        _ => [pixel[0]; 3],
    }
}

/// The value before, which most pixels repeat, and its number.
struct Last(Option<([u8; 3], Option<u8>)>);

impl Last {
    fn number(&mut self, value: [u8; 3], labels: &Labels) -> Option<u8> {
        if let Some((last, number)) = self.0
            && last == value
        {
            return number;
        }
        let number = labels.number(value);
        self.0 = Some((value, number));
        number
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, RgbImage, Rgba};
    use serde_json::{Value, json};

    use super::*;

    fn labels(mut given: Value) -> Labels {
        given["max_pixels"] = json!(1);
        Labels::read(&serde_json::from_value(given).unwrap()).0.unwrap()
    }

    fn assigned(given: Value, pixels: impl Into<DynamicImage>) -> Result<Vec<u8>, Unlabelled> {
        assign(pixels.into(), &labels(given))
    }

    #[test]
    fn grey_and_colour_of_every_depth_are_looked_up() {
        let grey = [0_u8, 2, 255, 100];
        let at = |x: u32| grey[x as usize];
        let given = || json!({"labels": {"a": 2, "b": 100, "c": 255}});
        let wide = |x: u32| u16::from(at(x)) * 257;
        let files: Vec<DynamicImage> = vec![
            GrayImage::from_fn(4, 1, |x, _| Luma([at(x)])).into(),
            // Alpha says nothing.
            ImageBuffer::from_fn(4, 1, |x, _| LumaA([at(x), 9])).into(),
            RgbImage::from_fn(4, 1, |x, _| Rgb([at(x); 3])).into(),
            ImageBuffer::from_fn(4, 1, |x, _| Rgba([at(x), at(x), at(x), 9])).into(),
            // Numbers of 8 bit in 16, and values of the whole range.
            ImageBuffer::from_fn(4, 1, |x, _| Luma([u16::from(at(x))])).into(),
            ImageBuffer::from_fn(4, 1, |x, _| Luma([wide(x)])).into(),
            ImageBuffer::from_fn(4, 1, |x, _| LumaA([wide(x), 3])).into(),
            ImageBuffer::from_fn(4, 1, |x, _| Rgb([wide(x); 3])).into(),
            ImageBuffer::from_fn(4, 1, |x, _| Rgba([u16::from(at(x)), u16::from(at(x)), u16::from(at(x)), 65535])).into(),
        ];
        for (number, file) in files.into_iter().enumerate() {
            assert_eq!(assigned(given(), file), Ok(vec![0, 1, 3, 2]), "file {number}");
        }
        let colours = [[255, 0, 0], [0, 0, 255], [0, 0, 0], [255, 0, 255]];
        let image = RgbImage::from_fn(4, 1, |x, _| Rgb(colours[x as usize]));
        let given = json!({"labels": {"artery": [255, 0, 0], "vein": [0, 0, 255]}, "ignore_label": [255, 0, 255]});
        assert_eq!(assigned(given, image), Ok(vec![1, 2, 0, 255]));
    }

    #[test]
    fn a_value_without_a_label_is_named_with_its_place() {
        let told = |given: Value, image: DynamicImage| {
            let error = assigned(given, image).unwrap_err().error("mask.png", 4);
            assert!(error.mend().unwrap().contains("add it to `labels`"));
            error.message().to_owned()
        };
        let given = || json!({"labels": {"a": 2}});
        let grey = GrayImage::from_fn(4, 3, |x, y| Luma([if (x, y) == (1, 2) { 7 } else { 2 }]));
        assert_eq!(told(given(), grey.into()), "mask.png has the value 7 at (1, 2), and no label has it");
        let colour = RgbImage::from_fn(4, 3, |x, y| Rgb([0, 0, if (x, y) >= (3, 1) { 255 } else { 0 }]));
        assert_eq!(told(given(), colour.into()), "mask.png has the value [0, 0, 255] at (3, 1), and no label has it");
        // A value between those of 8 bit, and a number of 8 bit beside values of 16.
        for value in [600_u16, 2] {
            let wide = ImageBuffer::from_fn(4, 3, |x, _| Luma([if x == 2 { value } else { 514 }]));
            let expected = format!("mask.png has the value {value} of 65535 at (2, 0), and no label has it");
            assert_eq!(told(given(), wide.into()), expected);
        }
    }

    #[test]
    fn values_between_those_of_8_bit_follow_tolerance_and_other() {
        let wide = || ImageBuffer::from_fn(2, 1, |x, _| Luma([if x == 0 { 600_u16 } else { 514 }]));
        assert_eq!(assigned(json!({"labels": {"a": 2}, "tolerance": 1}), wide()), Ok(vec![1, 1]));
        assert_eq!(assigned(json!({"labels": {"a": 2}, "other": "ignore"}), wide()), Ok(vec![255, 1]));
    }
}
