//! Squares of an image that are covered: DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout" (2017). The mask isn't touched.

use pipeline_contract::Rng;
use rand::{RngExt, SeedableRng};

use super::options::Dropout;

/// Covers squares of RGB `[height, width, 3]`, each as likely at any place at which it lies within the image; a square that is larger than a side covers that side.
pub(super) fn cover(image: &mut [u8], height: usize, width: usize, dropout: Dropout, seed: u64) {
    let mut rng = Rng::seed_from_u64(seed);
    for _ in 0..dropout.holes.whole(rng.random()) {
        let side = dropout.size.whole(rng.random()) as usize;
        let [(top, high), (left, wide)] = [height, width].map(|all| {
            let side = side.min(all);
            (rng.random_range(0..=(all - side) as u64) as usize, side)
        });
        for row in image.chunks_exact_mut((width * 3).max(1)).skip(top).take(high) {
            row[left * 3..][..wide * 3].fill(dropout.fill);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::Range;
    use super::*;

    fn covered(height: usize, width: usize, holes: [f32; 2], size: [f32; 2], seed: u64) -> Vec<bool> {
        let range = |[low, high]: [f32; 2]| Range { low, high };
        let mut image = vec![200; height * width * 3];
        cover(&mut image, height, width, Dropout { share: 1.0, holes: range(holes), size: range(size), fill: 7 }, seed);
        image.chunks(3).map(|pixel| pixel == [7; 3]).collect()
    }

    #[test]
    fn a_square_lies_within_the_image_and_anywhere_in_it() {
        let (height, width) = (10, 14);
        let mut ever = vec![false; height * width];
        for seed in 0..300 {
            let covered = covered(height, width, [1.0; 2], [4.0; 2], seed);
            let places = || (0..height * width).filter(|&at| covered[at]);
            assert_eq!(places().count(), 16);
            let (rows, columns) = (places().map(|at| at / width), places().map(|at| at % width));
            assert_eq!(rows.clone().max().unwrap() - rows.min().unwrap(), 3);
            assert_eq!(columns.clone().max().unwrap() - columns.min().unwrap(), 3);
            ever.iter_mut().zip(&covered).for_each(|(ever, &now)| *ever |= now);
        }
        assert!(ever.iter().all(|&ever| ever), "the corners too");
    }

    #[test]
    fn numbers_and_sizes_are_drawn_from_their_ranges() {
        let areas: std::collections::BTreeSet<usize> =
            (0..200).map(|seed| covered(50, 50, [1.0; 2], [2.0, 4.0], seed).iter().filter(|&&is| is).count()).collect();
        assert_eq!(areas, [4, 9, 16].into());
        let most = (0..200).map(|seed| covered(200, 200, [0.0, 5.0], [1.0; 2], seed).iter().filter(|&&is| is).count()).max();
        assert_eq!(most, Some(5));
    }

    #[test]
    fn a_square_larger_than_the_image_covers_all() {
        for (height, width) in [(1, 1), (1, 6), (7, 5)] {
            assert!(covered(height, width, [1.0; 2], [500.0; 2], 1).iter().all(|&is| is));
        }
    }
}
