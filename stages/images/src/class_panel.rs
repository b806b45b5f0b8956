//! Photograph, mask and prediction of several classes side by side. Binary ones are in `panel`.

use image::RgbImage;

use crate::classes::{Classes, IGNORED};
use crate::legend::{entries, legend};
use crate::palette::colour;
use crate::panel::{dimmed, row};

/// Where the prediction is another class than the mask.
const WRONG: [u8; 3] = [255; 3];

/// Photograph, mask, prediction and overlay in a row; each class in its colour, the background black, what is ignored grey.
///
/// `image` is RGB, `[height, width, 3]`; `mask` and `predicted` are class numbers, `[height, width]`, and [`IGNORED`] in `mask`
/// means that any prediction is right. In the overlay a class has its colour where it was predicted rightly, and white marks every
/// pixel that was given a wrong class. With an empty `mask`, none is known: its tile is left out and all that was predicted counts
/// as right. Shorter buffers leave the rest of their tile black.
pub fn class_panel(image: &[u8], mask: &[u8], predicted: &[u8], height: usize, width: usize) -> RgbImage {
    let coloured = |classes: &[u8]| classes.iter().flat_map(|&class| colour(class)).collect::<Vec<_>>();
    let mut tiles = vec![image.to_vec()];
    if !mask.is_empty() {
        tiles.push(coloured(mask));
    }
    tiles.push(coloured(predicted));
    let judged = image.as_chunks::<3>().0.iter().zip(predicted).enumerate();
    let overlay = judged.flat_map(|(at, (pixel, &class))| match mask.get(at) {
        Some(&IGNORED) => dimmed(*pixel),
        Some(&truth) if truth != class => WRONG,
        _ if class == 0 => dimmed(*pixel),
        _ => colour(class),
    });
    tiles.push(overlay.collect());
    row(&tiles, height, width)
}

/// What the colours of [`class_panel`] stand for: a row to be stacked under panels of `width` pixels.
pub fn class_legend(classes: &Classes, width: usize) -> RgbImage {
    let mut all = entries(classes);
    all.push(("wrong class".into(), WRONG));
    legend(&all, width)
}

/// A photograph with its mask's classes in their colours.
pub(crate) fn classes_over(image: &[u8], mask: &[u8]) -> Vec<u8> {
    let pixels = image.as_chunks::<3>().0.iter().zip(mask);
    pixels.flat_map(|(pixel, &class)| if class == 0 { dimmed(*pixel) } else { colour(class) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack;

    #[test]
    fn the_overlay_shows_right_classes_and_marks_wrong_ones() {
        let picture = class_panel(&[100; 15], &[1, 2, 0, 0, 255], &[1, 1, 2, 0, 2], 1, 5);
        assert_eq!(picture.dimensions(), (4 * 5 + 3 * 2, 1));
        let tile = |number: u32| (0..5).map(|x| picture.get_pixel(number * 7 + x, 0).0).collect::<Vec<_>>();
        assert_eq!(tile(0), [[100; 3]; 5]);
        assert_eq!(tile(1), [1, 2, 0, 0, 255].map(colour));
        assert_eq!(tile(2), [1, 1, 2, 0, 2].map(colour));
        assert_eq!(tile(3), [colour(1), WRONG, WRONG, [50; 3], [50; 3]]);
    }

    #[test]
    fn without_a_mask_all_that_was_predicted_is_shown() {
        let picture = class_panel(&[100; 6], &[], &[2, 0], 1, 2);
        assert_eq!(picture.width(), 3 * 2 + 2 * 2);
        assert_eq!([picture.get_pixel(8, 0).0, picture.get_pixel(9, 0).0], [colour(2), [50; 3]]);
    }

    #[test]
    fn the_legend_is_a_row_of_the_stack() {
        let classes = Classes { names: vec!["background".into(), "vein".into()], ignored: true };
        let panels = class_panel(&[9; 3 * 100 * 100], &[2; 10_000], &[2; 10_000], 100, 100);
        let (wide, high) = panels.dimensions();
        let rows = class_legend(&classes, wide as usize);
        assert_eq!(stack(vec![panels, rows.clone()]).dimensions(), (wide, high + 2 + rows.height()));
    }
}
