//! Turns and zooms a pair about its middle in one resampling. Exact flips and quarter turns are in `dihedral`.

use crate::{ImagePair, MaskKind};

/// Turns counterclockwise by `angle` radians and magnifies by `zoom`. The image is bilinear, and so is a mask of shares; a mask of class
/// numbers takes the nearest. All are 0 outside.
pub(crate) fn affine(pair: &ImagePair, angle: f32, zoom: f32) -> ImagePair {
    let (height, width) = (pair.height, pair.width);
    let (sin, cos) = libm::sincosf(angle);
    let (sin, cos) = (sin / zoom, cos / zoom);
    let (middle_x, middle_y) = ((width as f32 - 1.0) / 2.0, (height as f32 - 1.0) / 2.0);
    let mut image = Vec::with_capacity(height * width * 3);
    let mut mask = Vec::with_capacity(height * width);
    for y in 0..height {
        let down = y as f32 - middle_y;
        for x in 0..width {
            let right = x as f32 - middle_x;
            let from_x = middle_x + right * cos - down * sin;
            let from_y = middle_y + right * sin + down * cos;
            let corners = Corners::of([height, width], from_x, from_y);
            image.extend_from_slice(&corners.mean::<3>(&pair.image));
            mask.push(match pair.kind {
                MaskKind::Share => corners.mean::<1>(&pair.mask)[0],
                MaskKind::Class => {
                    let nearest = at(height, width, (from_x + 0.5).floor() as i64, (from_y + 0.5).floor() as i64);
                    nearest.map_or(0, |at| pair.mask[at])
                }
            });
        }
    }
    ImagePair {
        height,
        width,
        image,
        mask,
        kind: pair.kind,
        normalization: pair.normalization,
        original: None,
        doubts: Vec::new(),
    }
}

/// The place of a pixel, if it is inside.
fn at(height: usize, width: usize, x: i64, y: i64) -> Option<usize> {
    let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
    inside.then(|| y as usize * width + x as usize)
}

/// The four pixels around a point, as far as they are inside, and their weights.
struct Corners([(Option<usize>, f32); 4]);

impl Corners {
    fn of([height, width]: [usize; 2], x: f32, y: f32) -> Self {
        let (left, top) = (x.floor(), y.floor());
        let (right, down) = (x - left, y - top);
        let (left, top) = (left as i64, top as i64);
        Self([
            (at(height, width, left, top), (1.0 - right) * (1.0 - down)),
            (at(height, width, left + 1, top), right * (1.0 - down)),
            (at(height, width, left, top + 1), (1.0 - right) * down),
            (at(height, width, left + 1, top + 1), right * down),
        ])
    }

    /// The weighted mean of `N` channels, rounded.
    fn mean<const N: usize>(&self, values: &[u8]) -> [u8; N] {
        let mut sum = [0.5; N];
        for &(at, weight) in &self.0 {
            if let Some(at) = at {
                let pixel = &values[at * N..at * N + N];
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
    use crate::dihedral::Dihedral;
    use crate::testing::distinct;

    #[test]
    fn a_quarter_turn_agrees_with_the_exact_one() {
        let pair = distinct(9, 9);
        for quarters in 0..4 {
            let turned = affine(&pair, FRAC_PI_2 * quarters as f32, 1.0);
            let mut exact = pair.clone();
            let moves = Dihedral::new(false, false, quarters);
            moves.apply::<3>(&mut exact.image, 9, 9);
            moves.apply::<1>(&mut exact.mask, 9, 9);
            assert!(turned.mask.iter().zip(&exact.mask).all(|(&is, &was)| is.abs_diff(was) <= 1), "{quarters}");
            assert!(turned.image.iter().zip(&exact.image).all(|(&is, &was)| is.abs_diff(was) <= 1), "{quarters}");
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
}
