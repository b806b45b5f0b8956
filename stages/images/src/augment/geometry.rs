//! Flips, turns, zoom and elastic deformation of a pair in one resampling. Exact flips and quarter turns alone are in `dihedral`.

use super::dihedral::Dihedral;
use super::elastic::Field;
use crate::{ImagePair, MaskKind};

/// What is done to a pair, in this order.
pub(super) struct Geometry {
    pub moves: Dihedral,
    /// Turns counterclockwise about the middle, in radians.
    pub angle: f32,
    /// Magnifies from the middle.
    pub zoom: f32,
    pub elastic: Option<Field>,
}

impl Geometry {
    /// The pair, sampled once. The image is bilinear, and so is a mask of shares; a mask of class numbers takes the nearest. All are 0 outside.
    pub fn apply(&self, pair: &ImagePair) -> ImagePair {
        let (height, width) = (pair.height, pair.width);
        let (sin, cos) = libm::sincosf(self.angle);
        let (sin, cos) = (sin / self.zoom, cos / self.zoom);
        let (middle_x, middle_y) = ((width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0);
        let view = View { height, width, places: self.moves.places(height, width) };
        let (mut image, mut mask) = (vec![0; height * width * 3], vec![0; height * width]);
        let [mut shifts_x, mut shifts_y] = [(); 2].map(|()| vec![0.0; width]);
        let rows = image.chunks_exact_mut((width * 3).max(1)).zip(mask.chunks_exact_mut(width.max(1)));
        for (y, (image, mask)) in rows.enumerate() {
            if let Some(field) = &self.elastic {
                field.row(0, y, &mut shifts_x);
                field.row(1, y, &mut shifts_y);
            }
            let pixels = image.as_chunks_mut::<3>().0.iter_mut().zip(mask);
            for (x, ((pixel, share), (shift_x, shift_y))) in pixels.zip(shifts_x.iter().zip(&shifts_y)).enumerate() {
                let (right, down) = (x as f32 + shift_x - middle_x, y as f32 + shift_y - middle_y);
                let from_x = middle_x + right * cos - down * sin;
                let from_y = middle_y + right * sin + down * cos;
                let corners = view.corners(from_x, from_y);
                *pixel = corners.mean::<3>(&pair.image);
                *share = match pair.kind {
                    MaskKind::Share => corners.mean::<1>(&pair.mask)[0],
                    MaskKind::Class => view.place(floor(from_x + 0.5), floor(from_y + 0.5)).map_or(0, |at| pair.mask[at]),
                };
            }
        }
        let (kind, normalization) = (pair.kind, pair.normalization);
        ImagePair { height, width, image, mask, kind, normalization, original: None, doubts: Vec::new() }
    }
}

/// The largest whole number that is no larger, as `f32::floor` gives it, without a call.
fn floor(value: f32) -> i32 {
    let whole = value as i32;
    whole - i32::from(whole as f32 > value)
}

/// An image that was flipped and turned, without having been moved: where its pixels are.
struct View {
    height: usize,
    width: usize,
    /// The place of pixel (0, 0), and how far the next in x and in y are.
    places: [isize; 3],
}

impl View {
    /// The place of a pixel, if it is inside.
    fn place(&self, x: i32, y: i32) -> Option<usize> {
        let inside = (0..self.width as i64).contains(&i64::from(x)) && (0..self.height as i64).contains(&i64::from(y));
        inside.then(|| (self.places[0] + x as isize * self.places[1] + y as isize * self.places[2]) as usize)
    }

    /// The four pixels around a point.
    fn corners(&self, x: f32, y: f32) -> Corners {
        let (left, top) = (floor(x), floor(y));
        let (right, down) = (x - left as f32, y - top as f32);
        let weights = [(1.0 - right) * (1.0 - down), right * (1.0 - down), (1.0 - right) * down, right * down];
        let (next, below) = (left.saturating_add(1), top.saturating_add(1));
        let at = match (self.place(left, top), self.place(next, below)) {
            (Some(first), Some(last)) => {
                let [beside, under] = [1, 2].map(|step| (first as isize + self.places[step]) as usize);
                [first, beside, under, last].map(Some)
            }
            (first, last) => [first, self.place(next, top), self.place(left, below), last],
        };
        Corners { at, weights }
    }
}

/// The four pixels around a point, as far as they are inside, and their weights.
struct Corners {
    at: [Option<usize>; 4],
    weights: [f32; 4],
}

impl Corners {
    /// The weighted mean of `N` channels, rounded.
    fn mean<const N: usize>(&self, values: &[u8]) -> [u8; N] {
        let mut sum = [0.5; N];
        for (at, weight) in self.at.iter().zip(self.weights) {
            if let Some(pixel) = at.and_then(|at| values.get(at * N..at * N + N)) {
                sum.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += weight * f32::from(value));
            }
        }
        sum.map(|sum| sum as u8)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_PI_2;

    use super::*;
    use crate::testing::distinct;

    fn affine(pair: &ImagePair, angle: f32, zoom: f32) -> ImagePair {
        Geometry { moves: Dihedral::default(), angle, zoom, elastic: None }.apply(pair)
    }

    fn exact(pair: &ImagePair, moves: Dihedral) -> ImagePair {
        let mut exact = pair.clone();
        moves.apply::<3>(&mut exact.image, pair.height, pair.width);
        moves.apply::<1>(&mut exact.mask, pair.height, pair.width);
        exact
    }

    #[test]
    fn a_quarter_turn_agrees_with_the_exact_one() {
        let pair = distinct(9, 9);
        for quarters in 0..4 {
            let turned = affine(&pair, FRAC_PI_2 * quarters as f32, 1.0);
            let exact = exact(&pair, Dihedral::new(false, false, quarters));
            assert!(turned.mask.iter().zip(&exact.mask).all(|(&is, &was)| is.abs_diff(was) <= 1), "{quarters}");
            assert!(turned.image.iter().zip(&exact.image).all(|(&is, &was)| is.abs_diff(was) <= 1), "{quarters}");
        }
    }

    #[test]
    fn a_flip_on_the_way_is_a_flip_before() {
        for (height, width, quarters) in [(9, 9, 4), (7, 5, 1), (1, 6, 1)] {
            let pair = distinct(height, width);
            for quarters in (0..4).filter(|at| at % if quarters == 4 { 1 } else { 2 } == 0) {
                for (up_down, left_right) in [(false, false), (false, true), (true, false), (true, true)] {
                    let moves = Dihedral::new(up_down, left_right, quarters);
                    let once = Geometry { moves, angle: 0.3, zoom: 1.1, elastic: None }.apply(&pair);
                    assert_eq!(once, affine(&exact(&pair, moves), 0.3, 1.1), "{height} x {width}");
                }
            }
        }
    }

    #[test]
    fn zooming_out_leaves_a_black_border_and_zooming_in_none() {
        let pair = ImagePair { image: vec![200; 300], mask: vec![255; 100], ..distinct(10, 10) };
        let out = affine(&pair, 0.0, 0.5);
        assert_eq!((out.image[0], out.mask[0]), (0, 0));
        assert_eq!((out.image[(5 * 10 + 5) * 3], out.mask[55]), (200, 255));
        // Five rows and columns are left, of which the outermost are half inside.
        let left = out.mask.iter().map(|&value| f64::from(value) / 255.0).sum::<f64>();
        assert!((left - 25.0).abs() < 0.1, "{left}");
        assert_eq!(affine(&pair, 0.0, 2.0), pair);
    }

    #[test]
    fn shares_are_bilinear_and_classes_stay_what_they_are() {
        let pair = ImagePair { mask: (0..100).map(|at| 2 * (at / 3 % 2)).collect(), ..distinct(10, 10) };
        let classes = affine(&ImagePair { kind: MaskKind::Class, ..pair.clone() }, 0.3, 1.1);
        assert!(classes.mask.iter().all(|value| [0, 2].contains(value)) && classes.mask.contains(&2));
        assert!(affine(&pair, 0.3, 1.1).mask.contains(&1));
    }

    #[test]
    fn an_elastic_field_says_where_each_pixel_comes_from() {
        // Columns of a ramp: a pixel's value is the x it came from.
        let (height, width) = (40, 200);
        let image: Vec<u8> = (0..height * width).flat_map(|at| [(at % width) as u8, (at / width) as u8, 0]).collect();
        let pair = ImagePair { image, mask: vec![255; height * width], ..distinct(height, width) };
        let field = || Field::new(height, width, 90.0, 4.0, 3);
        let out = Geometry { moves: Dihedral::default(), angle: 0.0, zoom: 1.0, elastic: Some(field()) }.apply(&pair);
        let (mut right, mut down, mut moved) = (vec![0.0; width], vec![0.0; width], 0);
        for y in 10..30 {
            field().row(0, y, &mut right);
            field().row(1, y, &mut down);
            for x in 20..180 {
                let pixel = &out.image[(y * width + x) * 3..][..2];
                let expected = [x as f32 + right[x], y as f32 + down[x]];
                assert!(expected.iter().zip(pixel).all(|(from, &is)| (from - f32::from(is)).abs() < 0.51), "{x} {y}");
                moved += u8::from(right[x].abs() > 2.0).min(1) as usize;
            }
        }
        assert!(moved > 500, "{moved} pixels moved far");
    }
}
