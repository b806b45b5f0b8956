//! Contact sheets: pairs as thumbnails beside their masks, with names. Runs nothing and writes no files.

use image::{Rgb, RgbImage, imageops};
use pipeline_contract::Result;

use crate::class_panel::classes_over;
use crate::legend::{entries, legend};
use crate::letters::{LETTER, shortened, write};
use crate::panel::{masked, row, stack};
use crate::resize::{Filter, inside, resize_image};
use crate::{Classes, ImagePair};

/// The pair's image beside one with its mask drawn in, each within a square of `side` pixels; the image alone where there is no mask. Nothing is enlarged, and
/// the aspect ratio is kept.
///
/// # Errors
/// When the image has no pixels.
pub fn thumbnail(pair: &ImagePair, has_classes: bool, side: usize) -> Result<RgbImage> {
    let from = [pair.height, pair.width];
    let to = if pair.height.max(pair.width) <= side { from } else { inside(from, [side; 2]) };
    let drawn_in = if has_classes { classes_over } else { masked };
    let full = (!pair.mask.is_empty()).then(|| drawn_in(&pair.image, &pair.mask));
    let images = std::iter::once(&pair.image).chain(&full);
    let tiles: Result<Vec<Vec<u8>>> = images.map(|image| resize_image(image, from, to, Filter::Box)).collect();
    Ok(row(&tiles?, to[0], to[1]))
}

/// The side in pixels of the thumbnails of a sheet of so many rows and columns that is no larger than 4096 pixels a side; 16 at least, and 320 at most.
pub fn thumbnail_side(rows: usize, columns: usize) -> usize {
    let wide = ((LARGEST - GAP) / columns.max(1)).saturating_sub(2 * GAP);
    let high = ((LARGEST - 8 * LETTER) / rows.max(1)).saturating_sub(4 * LETTER);
    // Between the two halves of a thumbnail, `row` leaves a gap.
    (wide * 32 / 65).min(high).clamp(16, 320)
}

/// The longest side of a sheet in pixels, its legend left out.
pub const LARGEST: usize = 4096;

/// Between cells, in pixels.
const GAP: usize = 8;

/// Cells in rows under the titles of their columns, each row with its name under it, and with the legend of the classes at the end where there are any.
pub fn contact_sheet(titles: &[String], rows: &[(String, Vec<RgbImage>)], classes: Option<&Classes>) -> RgbImage {
    let cells = || rows.iter().flat_map(|(_, cells)| cells);
    let wide = cells().map(RgbImage::width).max().unwrap_or(0) as usize;
    let width = titles.len() * (wide + GAP) + GAP;
    let scale = (width / 800).clamp(1, 2);
    let line = LETTER * scale + GAP;
    let letters = |room: usize| room / (LETTER * scale);
    let height = |cells: &[RgbImage]| cells.iter().map(RgbImage::height).max().unwrap_or(0) as usize;
    let all = GAP + line + rows.iter().map(|(_, cells)| height(cells) + line + GAP).sum::<usize>();
    let mut sheet = RgbImage::from_pixel(width as u32, all as u32, Rgb([255; 3]));
    let left = |column: usize| GAP + column * (wide + GAP);
    for (column, title) in titles.iter().enumerate() {
        write(&mut sheet, [left(column), GAP], scale, &shortened(title, letters(wide)));
    }
    let mut top = GAP + line;
    for (name, cells) in rows {
        for (column, cell) in cells.iter().enumerate() {
            imageops::replace(&mut sheet, cell, left(column) as i64, top as i64);
        }
        top += height(cells) + GAP / 2;
        write(&mut sheet, [GAP, top], scale, &shortened(name, letters(width.saturating_sub(2 * GAP))));
        top += line + GAP / 2;
    }
    match classes {
        Some(classes) => stack(vec![sheet, legend(&entries(classes), width)]),
        None => sheet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::distinct;

    #[test]
    fn a_sheet_is_no_larger_than_said_and_its_thumbnails_no_smaller_than_needed() {
        for (rows, columns) in [(1, 1), (8, 4), (8, 2), (64, 17), (64, 2), (3, 17)] {
            let side = thumbnail_side(rows, columns);
            let cell = thumbnail(&distinct(side, side), false, side).unwrap();
            let cells: Vec<RgbImage> = vec![cell; columns];
            let rows: Vec<(String, Vec<RgbImage>)> = (0..rows).map(|at| (at.to_string(), cells.clone())).collect();
            let sheet = contact_sheet(&vec!["epoch".to_owned(); columns], &rows, None);
            assert!(sheet.width().max(sheet.height()) <= LARGEST as u32, "{:?}", sheet.dimensions());
            let roomy = side == 320 || sheet.width().max(sheet.height()) > LARGEST as u32 * 3 / 4;
            assert!(roomy, "{rows:?} rows, {columns} columns: {side}", rows = rows.len());
        }
    }

    #[test]
    fn thumbnails_keep_their_shape_and_are_not_enlarged() {
        assert_eq!(thumbnail(&distinct(600, 300), false, 256).unwrap().dimensions(), (2 * 128 + 2, 256));
        assert_eq!(thumbnail(&distinct(10, 20), false, 256).unwrap().dimensions(), (2 * 20 + 2, 10));
        let photograph = ImagePair { mask: Vec::new(), ..distinct(10, 20) };
        assert_eq!(thumbnail(&photograph, false, 256).unwrap().dimensions(), (20, 10));
    }

    #[test]
    fn rows_have_their_cells_and_their_names() {
        let cell = |value: u8| RgbImage::from_pixel(100, 40, Rgb([value; 3]));
        let rows = vec![("first".to_owned(), vec![cell(10), cell(20)]), ("second".to_owned(), vec![cell(30), cell(40)])];
        let sheet = contact_sheet(&["before".to_owned(), "epoch 1".to_owned()], &rows, None);
        assert_eq!(sheet.dimensions(), (2 * 108 + 8, 8 + 16 + 2 * (40 + 16 + 8)));
        for (x, y, value) in [(8, 24, 10), (116, 24, 20), (8, 88, 30), (215, 127, 40)] {
            assert_eq!(sheet.get_pixel(x, y).0, [value; 3], "{x} {y}");
        }
        let ink = |from: u32, to: u32| {
            sheet.rows().skip(from as usize).take((to - from) as usize).flatten().any(|pixel| pixel.0 == [0; 3])
        };
        assert!(ink(8, 16) && ink(68, 76) && ink(132, 140), "titles and names");
        assert!(!ink(16, 24) && !ink(76, 88) && !ink(24, 64), "and nothing else");
        let classes = Classes { names: vec!["background".into(), "vein".into()], ignored: false };
        assert!(contact_sheet(&["a".to_owned()], &rows[..1], Some(&classes)).height() > 88);
    }
}
