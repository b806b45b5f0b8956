//! Finds the field of view of a fundus photograph: the bright disc, often cut off at the top and bottom, in a dark surround.

/// How much brighter than the surround a pixel of the field is at least, noise aside. The rim of a field can be as dark as 15.
const MARGIN: u64 = 10;

/// The field of view of an 8-bit RGB photograph, `[height, width, 3]`: `[height, width]`, 1 inside, 0 outside. `None` if there is no dark surround: the
/// field is the whole frame, or nothing is bright.
///
/// The field is the largest component that is brighter than the surround, with its holes filled. How bright the surround is, and how noisy, is
/// measured in the calmest of the photograph's four corners; a pixel is as bright as its brightest channel. Writing in a corner stays
/// outside. Takes one pass for each of these, and about 2 bytes a pixel in a photograph.
///
/// # Panics
/// Unless the image has `height * width * 3` values.
pub fn field_of_view(image: &[u8], height: usize, width: usize) -> Option<Vec<u8>> {
    assert_eq!(height.checked_mul(width).and_then(|pixels| pixels.checked_mul(3)), Some(image.len()), "the image's size");
    let brightness: Vec<u8> = image.as_chunks().0.iter().map(|&[red, green, blue]| red.max(green).max(blue)).collect();
    let [surround, noisy] = surround(&brightness, height, width)?;
    let above = MARGIN + 2 * (noisy - surround);
    let limit = u8::try_from(surround + above).ok()?;
    let middle =
        Histogram::of(&brightness, width, [height / 4, height - height / 4], [width / 4, width - width / 4]).share(1, 2)?;
    if middle < surround + 2 * above || middle < 4 * surround {
        return None;
    }
    let mut mask: Vec<u8> = brightness.iter().map(|&value| u8::from(value > limit)).collect();
    keep_largest(&mut mask, width);
    fill_holes(&mut mask, height, width);
    // A surround is flat. Where the field itself gets darker towards the frame's corners, most of what is below the limit is just below.
    let near = (surround + above / 2) as u8;
    let (mut outside, mut flat) = (0_usize, 0_usize);
    for (&value, &inside) in brightness.iter().zip(&mask) {
        outside += usize::from(inside == 0 && value <= limit);
        flat += usize::from(inside == 0 && value <= near);
    }
    (outside > 0 && 4 * flat >= 3 * outside).then_some(mask)
}

/// How many pixels have each brightness.
struct Histogram([usize; 256]);

impl Histogram {
    fn of(brightness: &[u8], width: usize, rows: [usize; 2], columns: [usize; 2]) -> Self {
        let mut counts = [0; 256];
        for y in rows[0]..rows[1] {
            for &value in &brightness[y * width + columns[0]..y * width + columns[1]] {
                counts[usize::from(value)] += 1;
            }
        }
        Self(counts)
    }

    /// The brightness that `part` of `whole` of the pixels don't exceed; `None` without pixels.
    fn share(&self, part: usize, whole: usize) -> Option<u64> {
        let all: usize = self.0.iter().sum();
        let mut seen = 0;
        let reached = |&count: &usize| {
            seen += count;
            seen * whole >= all * part
        };
        (all > 0).then(|| self.0.iter().position(reached))?.map(|value| value as u64)
    }
}

/// The brightness of the darkest corner, as the median and the 95th percentile; the latter decides, so that a corner with writing isn't taken.
/// `None` without pixels.
fn surround(brightness: &[u8], height: usize, width: usize) -> Option<[u64; 2]> {
    let side = (height.min(width) / 32).max(1);
    let ends = |length: usize| [[0, side.min(length)], [length.saturating_sub(side), length]];
    let corners = ends(height).into_iter().flat_map(|rows| ends(width).map(|columns| (rows, columns)));
    corners
        .filter_map(|(rows, columns)| {
            let corner = Histogram::of(brightness, width, rows, columns);
            Some([corner.share(1, 2)?, corner.share(19, 20)?])
        })
        .min_by_key(|&[median, noisy]| (noisy, median))
}

/// Pixels of one value side by side in a row.
struct Run {
    start: usize,
    /// The pixel behind the last one.
    end: usize,
}

/// Runs of the pixels with this value, joined into 4-connected components: the runs in order, and each one's component, which is the
/// number of one of its runs.
fn components(mask: &[u8], width: usize, value: u8) -> (Vec<Run>, Vec<usize>) {
    let (mut runs, mut parents) = (Vec::new(), Vec::new());
    let mut above = 0..0;
    for (y, row) in mask.chunks_exact(width.max(1)).enumerate() {
        let first = runs.len();
        let mut at = 0;
        while let Some(ahead) = row[at..].iter().position(|&pixel| pixel == value) {
            let start = at + ahead;
            at = row[start..].iter().position(|&pixel| pixel != value).map_or(width, |length| start + length);
            runs.push(Run { start: y * width + start, end: y * width + at });
            parents.push(runs.len() - 1);
        }
        let mut other = above.start;
        for run in first..runs.len() {
            let [start, end] = [runs[run].start, runs[run].end].map(|at| at - y.min(1) * width);
            while other < above.end && runs[other].end <= start {
                other += 1;
            }
            let mut next = other;
            while next < above.end && runs[next].start < end {
                let (a, b) = (root(&mut parents, run), root(&mut parents, next));
                parents[a.max(b)] = a.min(b);
                next += 1;
            }
        }
        above = first..runs.len();
    }
    let roots = (0..runs.len()).map(|run| root(&mut parents, run)).collect();
    (runs, roots)
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

/// Clears all components but the largest; of equal ones, the first stays.
fn keep_largest(mask: &mut [u8], width: usize) {
    let (runs, roots) = components(mask, width, 1);
    let mut sizes = vec![0_usize; runs.len()];
    for (run, &root) in runs.iter().zip(&roots) {
        sizes[root] += run.end - run.start;
    }
    let largest = (0..sizes.len()).rev().max_by_key(|&root| sizes[root]);
    for (run, root) in runs.iter().zip(roots) {
        if Some(root) != largest {
            mask[run.start..run.end].fill(0);
        }
    }
}

/// Fills what is not connected with the frame.
fn fill_holes(mask: &mut [u8], height: usize, width: usize) {
    let (runs, roots) = components(mask, width, 0);
    let mut open = vec![false; runs.len()];
    for (run, &root) in runs.iter().zip(&roots) {
        let (y, left) = (run.start / width, run.start % width);
        open[root] |= y == 0 || y + 1 == height || left == 0 || run.end % width == 0;
    }
    for (run, root) in runs.iter().zip(roots) {
        if !open[root] {
            mask[run.start..run.end].fill(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ExtendedColorType, ImageFormat};
    use pipeline_contract::stage_rng;
    use rand::RngExt;

    use super::*;
    use crate::testing::real;
    use crate::{draw, open};

    /// Where a drawn eye isn't as dark as its surround, `[size, size]`.
    fn drawn_field(image: &[u8]) -> Vec<u8> {
        image.as_chunks::<3>().0.iter().map(|pixel| u8::from(*pixel != [3; 3])).collect()
    }

    fn dice(a: &[u8], b: &[u8]) -> f64 {
        let sum = |mask: &[u8]| mask.iter().map(|&pixel| f64::from(pixel)).sum::<f64>();
        2.0 * a.iter().zip(b).map(|(a, b)| f64::from(a & b)).sum::<f64>() / (sum(a) + sum(b))
    }

    /// The part of an image from a row and a column on.
    fn crop(image: &[u8], size: usize, from: [usize; 2], height: usize, width: usize) -> Vec<u8> {
        let row = |y: usize| &image[((from[0] + y) * size + from[1]) * 3..][..width * 3];
        (0..height).flat_map(row).copied().collect()
    }

    #[test]
    fn the_field_of_a_drawn_eye_is_its_disc() {
        for (size, seed) in [(64, 1), (200, 2), (333, 3), (512, 4)] {
            let image = draw(size, seed).image;
            let (field, drawn) = (field_of_view(&image, size, size).unwrap(), drawn_field(&image));
            // They differ in the rim, one pixel wide and partly covered.
            let rim = 4.0 / size as f64;
            assert!(dice(&field, &drawn) > 1.0 - rim, "{size}: {}", dice(&field, &drawn));
            assert!(field.iter().zip(&drawn).all(|(field, drawn)| field <= drawn), "{size}");
        }
    }

    #[test]
    fn noise_compression_and_writing_stay_outside() {
        let size = 400;
        let mut image = draw(size, 5).image;
        let drawn = drawn_field(&image);
        let mut rng = stage_rng(5, 0, "noise", "field_of_view");
        for value in &mut image {
            *value = value.saturating_add(rng.random_range(0..9));
        }
        for y in 4..10 {
            image[(y * size + 3) * 3..(y * size + 30) * 3].fill(255);
        }
        for quality in [20, 50, 90] {
            let mut file = Vec::new();
            let side = size as u32;
            JpegEncoder::new_with_quality(&mut file, quality).encode(&image, side, side, ExtendedColorType::Rgb8).unwrap();
            let decoded = image::load_from_memory_with_format(&file, ImageFormat::Jpeg).unwrap().into_rgb8().into_raw();
            let field = field_of_view(&decoded, size, size).unwrap();
            assert!(dice(&field, &drawn) > 0.99, "{quality}: {}", dice(&field, &drawn));
            assert!(field[..12 * size].iter().step_by(size).all(|&pixel| pixel == 0) && field[6 * size + 10] == 0, "{quality}");
        }
    }

    #[test]
    fn a_dark_spot_is_inside_and_a_cut_disc_is_a_field() {
        let size = 300;
        let mut image = draw(size, 6).image;
        let drawn = drawn_field(&image);
        for y in 100..140 {
            image[(y * size + 180) * 3..(y * size + 230) * 3].fill(0);
        }
        assert!(dice(&field_of_view(&image, size, size).unwrap(), &drawn) > 0.985);
        // Cut above and below, as cameras with a wide sensor do, and to one corner of the frame.
        for (from, height, width) in [([45, 0], 210, 300), ([0, 0], 160, 170)] {
            let field = field_of_view(&crop(&image, size, from, height, width), height, width).unwrap();
            let disc: Vec<u8> =
                (0..height * width).map(|at| drawn[(from[0] + at / width) * size + from[1] + at % width]).collect();
            assert!(dice(&field, &disc) > 0.985, "{height} x {width}: {}", dice(&field, &disc));
        }
    }

    #[test]
    fn without_a_surround_there_is_no_field() {
        let image = draw(400, 7).image;
        assert_eq!(field_of_view(&crop(&image, 400, [100, 100], 200, 200), 200, 200), None);
        for value in [0, 3, 128, 255] {
            assert_eq!(field_of_view(&[value; 48 * 64 * 3], 48, 64), None, "{value}");
        }
        // Darker and darker towards the corners, down to that of a surround.
        let shaded: Vec<u8> = (0..200 * 200)
            .flat_map(|at| {
                let out = ((at / 200) as f64 - 99.5).hypot((at % 200) as f64 - 99.5) / 141.0;
                [(180.0 - 160.0 * out * out) as u8, 60, 20].map(|value| value.min((180.0 - 160.0 * out * out) as u8))
            })
            .collect();
        assert_eq!(field_of_view(&shaded, 200, 200), None);
        for (height, width) in [(0, 0), (0, 5), (5, 0), (1, 1), (1, 7), (2, 2)] {
            assert_eq!(field_of_view(&vec![90; height * width * 3], height, width), None);
        }
    }

    #[test]
    fn holes_are_filled_and_bays_are_not() {
        let picture = ["0000000", "0111110", "0100010", "0101010", "0100011", "0111110", "0000000"];
        let mut mask: Vec<u8> = picture.concat().bytes().map(|digit| digit - b'0').collect();
        keep_largest(&mut mask, 7);
        assert_eq!(mask[3 * 7 + 3], 0, "the small component is gone");
        let mut open = mask.clone();
        open[7 + 3] = 0;
        fill_holes(&mut mask, 7, 7);
        assert_eq!(mask.iter().map(|&pixel| usize::from(pixel)).sum::<usize>(), 26);
        let before = open.clone();
        fill_holes(&mut open, 7, 7);
        assert_eq!(open, before, "a bay that reaches the frame is outside");
    }

    /// The vessels that people marked lie in the field, and the field is as large as the camera's disc.
    #[test]
    fn the_fields_of_the_real_photographs_hold_their_vessels() {
        for (image, mask, share) in [
            ("FIVES/test/Original/27_A.png", "FIVES/test/Ground truth/27_A.png", 0.75..0.77),
            ("FIVES/train/Original/3_A.png", "FIVES/train/Ground truth/3_A.png", 0.75..0.77),
            ("CHASE_DB1/Image_06L.jpg", "CHASE_DB1/Image_06L_1stHO.png", 0.68..0.70),
            ("CHASE_DB1/Image_08L.jpg", "CHASE_DB1/Image_08L_1stHO.png", 0.64..0.67),
            ("CHASE_DB1/Image_10R.jpg", "CHASE_DB1/Image_10R_1stHO.png", 0.68..0.71),
            ("HRF/images/01_dr.jpg", "HRF/manual1/01_dr.tif", 0.84..0.85),
        ] {
            let (Some(image), Some(mask)) = (real(image), real(mask)) else { continue };
            let opened = open::open(&image, 100_000_000).unwrap();
            let (height, width) = (opened.height, opened.width);
            let field = field_of_view(&opened.rgb().unwrap(), height, width).unwrap();
            let vessels = open::open(&mask, 100_000_000).unwrap().quiet_mask().unwrap();
            let inside = field.iter().map(|&pixel| f64::from(pixel)).sum::<f64>() / field.len() as f64;
            assert!(share.contains(&inside), "{}: {inside}", image.display());
            let marked = vessels.iter().filter(|&&vessel| vessel != 0).count() as f64;
            let lost = vessels.iter().zip(&field).filter(|(vessel, inside)| **vessel != 0 && **inside == 0).count() as f64;
            assert!(lost / marked < 0.005, "{}: {}", image.display(), lost / marked);
        }
    }
}
