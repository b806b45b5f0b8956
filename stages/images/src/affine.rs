//! Turns and zooms a pair about its middle in one resampling. Exact flips and quarter turns are in `dihedral`.

use crate::ImagePair;

/// Turns counterclockwise by `angle` radians and magnifies by `zoom`. The image is bilinear, the mask nearest, both 0 outside.
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
            image.extend_from_slice(&bilinear(&pair.image, height, width, from_x, from_y));
            let nearest = at(height, width, (from_x + 0.5).floor() as i64, (from_y + 0.5).floor() as i64);
            mask.push(nearest.map_or(0, |at| pair.mask[at]));
        }
    }
    ImagePair { height, width, image, mask, normalization: pair.normalization }
}

/// The place of a pixel, if it is inside.
fn at(height: usize, width: usize, x: i64, y: i64) -> Option<usize> {
    let inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
    inside.then(|| y as usize * width + x as usize)
}

fn bilinear(image: &[u8], height: usize, width: usize, x: f32, y: f32) -> [u8; 3] {
    let (left, top) = (x.floor(), y.floor());
    let (right, down) = (x - left, y - top);
    let (left, top) = (left as i64, top as i64);
    let mut sum = [0.5; 3];
    for (x, y, weight) in [
        (left, top, (1.0 - right) * (1.0 - down)),
        (left + 1, top, right * (1.0 - down)),
        (left, top + 1, (1.0 - right) * down),
        (left + 1, top + 1, right * down),
    ] {
        if let Some(at) = at(height, width, x, y) {
            let pixel = &image[at * 3..at * 3 + 3];
            sum.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += weight * f32::from(value));
        }
    }
    sum.map(|sum| sum as u8)
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
            assert_eq!(turned.mask, exact.mask, "{quarters}");
            assert!(turned.image.iter().zip(&exact.image).all(|(&is, &was)| is.abs_diff(was) <= 1), "{quarters}");
        }
    }

    #[test]
    fn zooming_out_leaves_a_black_border_and_zooming_in_none() {
        let pair = ImagePair { image: vec![200; 300], mask: vec![1; 100], ..distinct(10, 10) };
        let out = affine(&pair, 0.0, 0.5);
        assert_eq!((out.image[0], out.mask[0]), (0, 0));
        assert_eq!((out.image[(5 * 10 + 5) * 3], out.mask[55]), (200, 1));
        assert_eq!(out.mask.iter().map(|&value| u32::from(value)).sum::<u32>(), 25);
        assert_eq!(affine(&pair, 0.0, 2.0), pair);
    }
}
