//! Contrast-limited adaptive histogram equalisation of an image's luminance: Zuiderveld, "Contrast Limited Adaptive Histogram Equalization", Graphics Gems IV (1994), with
//! the details of OpenCV's `createCLAHE`.

use super::colour::LUMA;

/// Values of a luminance of 8 bit.
const VALUES: usize = 256;

/// Equalises the luminance of an image, RGB `[height, width, 3]`, and adds its change to all three channels, so that colours stay as far as 8 bits allow.
pub(super) fn equalise(image: &mut [u8], height: usize, width: usize, clip_limit: f64, grid: usize) {
    if height == 0 || width == 0 {
        return;
    }
    let luma: Vec<u8> = image.as_chunks::<3>().0.iter().map(|pixel| luminance(*pixel)).collect();
    let tiles = Tiles::new(&luma, height, width, clip_limit, grid);
    for ((y, row), pixels) in luma.chunks_exact(width).enumerate().zip(image.chunks_exact_mut(width * 3)) {
        let row_of_tiles = tiles.beside(y, tiles.height);
        for (x, (&value, pixel)) in row.iter().zip(pixels.as_chunks_mut::<3>().0).enumerate() {
            let change = i16::from(tiles.equalised(value, x, row_of_tiles)) - i16::from(value);
            pixel.iter_mut().for_each(|value| *value = (i16::from(*value) + change).clamp(0, 255) as u8);
        }
    }
}

/// Rec. 601, rounded.
fn luminance([red, green, blue]: [u8; 3]) -> u8 {
    (LUMA[0] * f32::from(red) + LUMA[1] * f32::from(green) + LUMA[2] * f32::from(blue) + 0.5) as u8
}

/// Two neighbouring tiles along one side, and the share of the second.
type Beside = ([usize; 2], f32);

/// A table of values for each tile.
struct Tiles {
    /// Tiles along each side.
    grid: usize,
    /// Of one tile, in pixels.
    height: usize,
    tables: Vec<[u8; VALUES]>,
    /// The tiles of each column of pixels.
    columns: Vec<Beside>,
}

impl Tiles {
    fn new(luma: &[u8], height: usize, width: usize, clip_limit: f64, grid: usize) -> Self {
        // OpenCV widens both sides if either isn't a multiple, also the one that is.
        let exact = height.is_multiple_of(grid) && width.is_multiple_of(grid);
        let [tile_height, tile_width] =
            [height, width].map(|side| if exact { side / grid } else { (side + grid - side % grid) / grid });
        let area = tile_height * tile_width;
        let limit = match clip_limit > 0.0 {
            true => ((clip_limit * area as f64 / VALUES as f64) as u32).max(1),
            false => u32::MAX,
        };
        let across: Vec<usize> = (0..tile_width * grid).map(|x| reflected(x, width)).collect();
        let mut tables = Vec::with_capacity(grid * grid);
        for top in (0..grid).map(|row| row * tile_height) {
            let mut counts = vec![[0_u32; VALUES]; grid];
            for y in top..top + tile_height {
                let row = &luma[reflected(y, height) * width..][..width];
                for (counts, columns) in counts.iter_mut().zip(across.chunks_exact(tile_width)) {
                    columns.iter().for_each(|&x| counts[usize::from(row[x])] += 1);
                }
            }
            tables.extend(counts.into_iter().map(|counts| table(counts, limit, area)));
        }
        let mut tiles = Self { grid, height: tile_height, tables, columns: Vec::new() };
        tiles.columns = (0..width).map(|x| tiles.beside(x, tile_width)).collect();
        tiles
    }

    /// The tiles whose middles are before and after a pixel; at the edges the outermost twice.
    fn beside(&self, at: usize, side: usize) -> Beside {
        let place = at as f32 * (1.0 / side as f32) - 0.5;
        let first = place.floor();
        let tile = |number: f32| (number.max(0.0) as usize).min(self.grid - 1);
        ([tile(first), tile(first + 1.0)], place - first)
    }

    /// What becomes of the value of a pixel in column `x`.
    fn equalised(&self, value: u8, x: usize, ([above, below], down): Beside) -> u8 {
        let ([left, right], along) = self.columns[x];
        let at = |row: usize, column: usize| f32::from(self.tables[row * self.grid + column][usize::from(value)]);
        let upper = at(above, left) * (1.0 - along) + at(above, right) * along;
        let lower = at(below, left) * (1.0 - along) + at(below, right) * along;
        rounded(upper * (1.0 - down) + lower * down)
    }
}

/// The nearest whole number, of two the even one, as OpenCV's `cvRound`.
fn rounded(value: f32) -> u8 {
    let whole = value as u8;
    let rest = value - f32::from(whole);
    if rest > 0.5 || (rest == 0.5 && whole % 2 == 1) { whole.saturating_add(1) } else { whole }
}

/// The place of a pixel beyond the edge of `side` pixels, reflected about the outermost: OpenCV's BORDER_REFLECT_101.
pub(super) fn reflected(at: usize, side: usize) -> usize {
    if side < 2 {
        return 0;
    }
    let at = at % (2 * (side - 1));
    at.min(2 * (side - 1) - at)
}

/// The table of a tile: its histogram, cut at `limit` with what was cut spread over all values, summed up and scaled to 0..255.
fn table(mut counts: [u32; VALUES], limit: u32, area: usize) -> [u8; VALUES] {
    let cut: u32 = counts.iter().map(|&count| count.saturating_sub(limit)).sum();
    let each = cut / VALUES as u32;
    counts.iter_mut().for_each(|count| *count = (*count).min(limit) + each);
    let rest = cut as usize % VALUES;
    if let Some(step) = VALUES.checked_div(rest) {
        // There are fewer left than values, so a step is 1 at least.
        counts.iter_mut().step_by(step).take(rest).for_each(|count| *count += 1);
    }
    let (scale, mut sum) = (255.0 / area as f32, 0);
    counts.map(|count| {
        sum += count;
        rounded(sum as f32 * scale)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey image, so that the luminance is its value.
    fn grey(height: usize, width: usize) -> Vec<u8> {
        let value = |x: usize, y: usize| (40 + (x * 9 + y * 17 + ((x * y) % 7) * 5) % 120) as u8;
        (0..height * width).flat_map(|at| [value(at % width, at / width); 3]).collect()
    }

    fn equalised(height: usize, width: usize, grid: usize, clip_limit: f64) -> Vec<u8> {
        let mut image = grey(height, width);
        equalise(&mut image, height, width, clip_limit, grid);
        assert!(image.chunks(3).all(|pixel| pixel.iter().all(|&value| value == pixel[0])));
        image.into_iter().step_by(3).collect()
    }

    /// python: a = numpy.array([[40 + (x*9 + y*17 + ((x*y) % 7)*5) % 120 for x in range(w)] for y in range(h)], numpy.uint8)
    /// cv2.createCLAHE(clipLimit=clip, tileGridSize=(grid, grid)).apply(a).flatten().tolist()
    #[test]
    fn small_images_are_those_of_opencv() {
        #[rustfmt::skip]
        assert_eq!(equalised(6, 8, 2, 2.0), [
            21, 42, 85, 80, 85, 74, 64, 85, 64, 128, 170, 175, 170, 186, 234, 149, 128, 166, 206, 221, 174, 203, 252, 208,
            106, 160, 223, 181, 228, 223, 21, 255, 89, 184, 167, 20, 228, 74, 71, 53, 106, 255, 234, 223, 106, 133, 149, 128,
        ]);
        #[rustfmt::skip]
        assert_eq!(equalised(7, 5, 2, 2.0), [
            21, 42, 74, 74, 92, 64, 106, 138, 148, 142, 128, 191, 194, 223, 163, 149, 202, 228, 197, 222, 148, 202, 191, 26,
            214, 154, 239, 222, 212, 92, 191, 42, 64, 74, 117,
        ]);
        assert_eq!(equalised(1, 1, 8, 2.0), [255]);
        assert_eq!(equalised(1, 9, 4, 1.5), [85, 170, 212, 170, 184, 212, 170, 184, 255]);
    }

    /// The same; then a sum, and one weighted by the place: (o * (numpy.arange(h * w) % 251 + 1)).sum() of `o` as int64.
    #[test]
    fn larger_images_are_those_of_opencv() {
        for (height, width, clip_limit, sum, weighted) in
            [(64, 48, 2.0, 394_465, 49_107_930), (67, 50, 3.0, 419_176, 51_913_460), (64, 50, 40.0, 413_938, 51_410_856)]
        {
            let all = equalised(height, width, 8, clip_limit);
            let by_place = |(at, &value): (usize, &u8)| (at as u64 % 251 + 1) * u64::from(value);
            assert_eq!(all.iter().map(|&value| u64::from(value)).sum::<u64>(), sum, "{height} x {width}");
            assert_eq!(all.iter().enumerate().map(by_place).sum::<u64>(), weighted, "{height} x {width}");
        }
    }

    #[test]
    fn colours_stay() {
        let mut image: Vec<u8> = grey(64, 64).chunks(3).flat_map(|pixel| [pixel[0] / 2 + 20, pixel[0] / 2, 40]).collect();
        let before = image.clone();
        equalise(&mut image, 64, 64, 2.0, 8);
        assert_ne!(image, before);
        for (now, was) in image.chunks(3).zip(before.chunks(3)) {
            if now.iter().all(|value| (1..255).contains(value)) {
                assert_eq!(i16::from(now[0]) - i16::from(now[1]), i16::from(was[0]) - i16::from(was[1]));
            }
        }
    }
}
