//! An image as JPEG leaves it: compressed and decoded again.

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{ExtendedColorType, ImageDecoder};
use pipeline_contract::{Result, StageError};

/// Compresses RGB `[height, width, 3]` at a quality from 1 to 100, as libjpeg counts it, without subsampling of the colours, and decodes it again.
///
/// # Errors
/// When a side is longer than a JPEG may be, 65535 pixels.
pub(super) fn recompress(image: &mut [u8], height: usize, width: usize, quality: u8) -> Result<()> {
    let refused = |error: &dyn std::fmt::Display| {
        StageError::new(format!("an image of {height} x {width} can't be compressed as JPEG: {error}"))
            .help("leave out `jpeg`, or make the images smaller before it")
    };
    let [Ok(high), Ok(wide)] = [height, width].map(u16::try_from) else {
        return Err(refused(&"a side is longer than 65535 pixels"));
    };
    if image.is_empty() {
        return Ok(());
    }
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, quality);
    encoder.encode(image, wide.into(), high.into(), ExtendedColorType::Rgb8).map_err(|error| refused(&error))?;
    let decoder = JpegDecoder::new(std::io::Cursor::new(file)).map_err(|error| refused(&error))?;
    if decoder.total_bytes() != image.len() as u64 {
        return Err(refused(&"it is of another size afterwards"));
    }
    decoder.read_image(image).map_err(|error| refused(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(height: usize, width: usize, quality: u8) -> (Vec<u8>, Vec<u8>) {
        let pixel = |at: usize| {
            let (x, y) = (at % width, at / width);
            [(x * 4 + y) as u8, (128 + 60 * (x / 4 % 2)) as u8, (y * 5) as u8]
        };
        let image: Vec<u8> = (0..height * width).flat_map(pixel).collect();
        let mut after = image.clone();
        recompress(&mut after, height, width, quality).unwrap();
        (image, after)
    }

    fn error(height: usize, width: usize, quality: u8) -> f64 {
        let (image, after) = compressed(height, width, quality);
        let squares = image.iter().zip(&after).map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2)).sum::<f64>();
        (squares / image.len() as f64).sqrt()
    }

    #[test]
    fn a_lower_quality_leaves_larger_errors() {
        let errors = [100, 90, 50, 10].map(|quality| error(48, 48, quality));
        assert!(errors.is_sorted() && errors[0] < 1.5 && errors[3] > 4.0, "{errors:?}");
    }

    #[test]
    fn any_size_keeps_its_size() {
        for (height, width) in [(1, 1), (1, 9), (9, 1), (7, 5), (17, 33)] {
            let (image, after) = compressed(height, width, 95);
            assert_eq!(image.len(), after.len());
        }
    }

    #[test]
    fn what_no_jpeg_holds_is_an_error() {
        let mut image = vec![0; 70_000 * 3];
        let error = recompress(&mut image, 1, 70_000, 90).unwrap_err();
        assert!(error.to_string().contains("1 x 70000") && error.mend().is_some(), "{error}");
    }
}
