//! Puts photographs, masks and predictions side by side into pictures. Writes no files, and knows no network.

use image::RgbImage;

use crate::VESSEL;

/// Where mask and prediction agree on vessel.
pub(crate) const HIT: [u8; 3] = [70, 220, 90];
/// Where only the prediction says vessel.
const FALSE_ALARM: [u8; 3] = [235, 50, 45];
/// Where only the mask says vessel.
const MISS: [u8; 3] = [60, 110, 255];
/// Between tiles.
const GAP_COLOUR: [u8; 3] = [255; 3];

/// Photograph, mask, prediction and overlay in a row.
///
/// `image` is RGB, `[height, width, 3]`; `mask` is a pixel's share of vessel in 255ths, `[height, width]`, and half or more means
/// vessel; `probability` is 0 to 1, `[height, width]`, and above 0.5 means vessel. In the overlay green is vessel that was found, red was predicted but is none, blue was missed.
/// With an empty `mask`, none is known: its tile is left out and all that was predicted is green.
/// Shorter buffers leave the rest of their tile black.
pub fn panel(image: &[u8], mask: &[u8], probability: &[f32], height: usize, width: usize) -> RgbImage {
    let known = !mask.is_empty();
    let grey = |value: f32| [(value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8; 3];
    let mut tiles = vec![image.to_vec()];
    if known {
        tiles.push(mask.iter().flat_map(|&value| [value; 3]).collect());
    }
    tiles.push(probability.iter().flat_map(|&value| grey(value)).collect());
    let vessel = |at: usize| mask.get(at).is_some_and(|&value| value >= VESSEL);
    let judged = image.as_chunks::<3>().0.iter().zip(probability).enumerate();
    let overlay = judged.flat_map(|(at, (pixel, &probability))| match (vessel(at) || !known, probability > 0.5) {
        (true, true) => HIT,
        (false, true) => FALSE_ALARM,
        (true, false) if known => MISS,
        _ => dimmed(*pixel),
    });
    tiles.push(overlay.collect());
    row(&tiles, height, width)
}

/// Rows under each other, each at the left.
pub fn stack(rows: Vec<RgbImage>) -> RgbImage {
    let gap = rows.iter().map(|row| gap(row.width() as usize / 4)).max().unwrap_or(0);
    let width = rows.iter().map(RgbImage::width).max().unwrap_or(0);
    let heights: usize = rows.iter().map(|row| row.height() as usize).sum();
    let height = heights + gap * rows.len().saturating_sub(1);
    let mut all = RgbImage::from_pixel(width, height as u32, image::Rgb(GAP_COLOUR));
    let mut top = 0;
    for row in rows {
        paste(&mut all, row.as_raw(), row.width() as usize, 0, top);
        top += row.height() as usize + gap;
    }
    all
}

/// A photograph with its mask in green.
pub(crate) fn masked(image: &[u8], mask: &[u8]) -> Vec<u8> {
    let pixels = image.as_chunks::<3>().0.iter().zip(mask);
    pixels.flat_map(|(pixel, &vessel)| if vessel >= VESSEL { HIT } else { dimmed(*pixel) }).collect()
}

/// Tiles `[height, width, 3]` beside each other.
pub(crate) fn row(tiles: &[Vec<u8>], height: usize, width: usize) -> RgbImage {
    let gap = gap(width);
    let all_width = tiles.len() * width + tiles.len().saturating_sub(1) * gap;
    let mut all = RgbImage::from_pixel(all_width as u32, height as u32, image::Rgb(GAP_COLOUR));
    for (number, tile) in tiles.iter().enumerate() {
        let mut tile = tile.clone();
        tile.resize(height * width * 3, 0);
        paste(&mut all, &tile, width, number * (width + gap), 0);
    }
    all
}

fn paste(onto: &mut RgbImage, tile: &[u8], width: usize, left: usize, top: usize) {
    let stride = onto.width() as usize * 3;
    if width == 0 {
        return;
    }
    for (y, row) in tile.chunks_exact(width * 3).enumerate() {
        onto.as_mut()[(top + y) * stride + left * 3..][..row.len()].copy_from_slice(row);
    }
}

fn gap(width: usize) -> usize {
    (width / 64).max(2)
}

/// A photograph's pixel as the ground for colours.
pub(crate) fn dimmed(pixel: [u8; 3]) -> [u8; 3] {
    pixel.map(|value| value / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overlay_tells_hits_false_alarms_and_misses() {
        let image = [100; 12];
        let picture = panel(&image, &[255, 0, 255, 0], &[0.9, 0.8, 0.2, 0.1], 1, 4);
        assert_eq!(picture.dimensions(), (4 * 4 + 3 * 2, 1));
        let overlay: Vec<[u8; 3]> = (18..22).map(|x| picture.get_pixel(x, 0).0).collect();
        assert_eq!(overlay, [HIT, FALSE_ALARM, MISS, [50; 3]]);
        assert_eq!(picture.get_pixel(0, 0).0, [100; 3]);
        assert_eq!(picture.get_pixel(6, 0).0, [255; 3]);
        assert_eq!(picture.get_pixel(12, 0).0, [230; 3]);
    }

    #[test]
    fn without_a_mask_what_was_predicted_is_green() {
        let picture = panel(&[100; 6], &[], &[0.9, 0.1], 1, 2);
        assert_eq!(picture.width(), 3 * 2 + 2 * 2);
        assert_eq!([picture.get_pixel(8, 0).0, picture.get_pixel(9, 0).0], [HIT, [50; 3]]);
    }

    #[test]
    fn rows_stand_under_each_other() {
        let rows = vec![panel(&[9; 12], &[0; 4], &[0.0; 4], 2, 2), panel(&[7; 3], &[0], &[0.0], 1, 1)];
        let all = stack(rows);
        assert_eq!(all.dimensions(), (2 * 4 + 6, 2 + 2 + 1));
        assert_eq!((all.get_pixel(0, 0).0, all.get_pixel(0, 4).0), ([9; 3], [7; 3]));
        assert_eq!(stack(Vec::new()).dimensions(), (0, 0));
    }
}
