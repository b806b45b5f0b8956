//! A photograph at its own size with what was predicted drawn in, and a legend below. Nothing is judged; that is `panel`.

use image::RgbImage;

use crate::classes::Classes;
use crate::legend::{Entry, legend};
use crate::palette::colour;
use crate::panel::HIT;

/// How much of a pixel's colour is its class's, in eighths.
const SHARE: u16 = 5;

/// Draws classes, `[height, width]` with 0 for the background, over a photograph, RGB `[height, width, 3]`. With one class beside the background it
/// is green, with more each has the colour that it has in all pictures.
pub fn overlay(mut photograph: Vec<u8>, predicted: &[u8], names: &Classes, width: usize) -> RgbImage {
    let colour = |class: usize| if names.names.len() > 2 { colour(class as u8) } else { HIT };
    let colours: Vec<[u8; 3]> = (0..names.names.len().max(2)).map(colour).collect();
    for (pixel, &class) in photograph.as_chunks_mut::<3>().0.iter_mut().zip(predicted) {
        let Some(colour) = colours.get(usize::from(class)).filter(|_| class > 0) else { continue };
        for (value, &colour) in pixel.iter_mut().zip(colour) {
            *value = ((u16::from(*value) * (8 - SHARE) + u16::from(colour) * SHARE + 4) / 8) as u8;
        }
    }
    let entries: Vec<Entry> = names.names.iter().cloned().zip(colours).skip(1).collect();
    let legend = legend(&entries, width);
    let height = photograph.len() / (3 * width.max(1));
    let mut all = height as u32;
    // A legend that is wider than its photograph is left out.
    if legend.width() as usize == width {
        photograph.extend_from_slice(legend.as_raw());
        all += legend.height();
    }
    RgbImage::from_raw(width as u32, all, photograph).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Classes {
        Classes { names: names.iter().map(|&name| name.into()).collect(), ignored: false }
    }

    #[test]
    fn what_was_predicted_is_drawn_over_the_photograph_and_named_below() {
        for (width, has_legend) in [(4, false), (300, true)] {
            let photograph = vec![80; 3 * 2 * width];
            let mut predicted = vec![0; 2 * width];
            predicted[1] = 1;
            let picture = overlay(photograph, &predicted, &names(&["background", "vessel"]), width);
            assert_eq!(picture.get_pixel(0, 0).0, [80; 3]);
            assert_eq!(picture.get_pixel(1, 0).0, HIT.map(|colour| ((80 * 3 + u16::from(colour) * 5 + 4) / 8) as u8));
            assert_eq!((picture.width() as usize, picture.height() > 2), (width, has_legend));
            assert_eq!(picture.rows().skip(2).flatten().any(|pixel| pixel.0 == HIT), has_legend);
        }
    }

    #[test]
    fn several_classes_have_the_colours_of_all_pictures() {
        let picture = overlay(vec![0; 9], &[0, 1, 2], &names(&["background", "artery", "vein"]), 3);
        for class in [1, 2] {
            let drawn = picture.get_pixel(u32::from(class), 0).0;
            assert_eq!(drawn, colour(class).map(|value| ((u16::from(value) * 5 + 4) / 8) as u8));
        }
    }
}
