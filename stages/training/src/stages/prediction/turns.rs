//! Flips and quarter turns of an image before a prediction, and back again. Exact: pixels only change their places.

/// The choices of the option `turns`.
pub(in crate::stages) const TURNS: &[&str] = &["none", "flips", "all"];

/// What the option does.
pub(in crate::stages) const TURNS_DOC: &str = "predicts each image in several positions and takes the mean: flips: as it is, and flipped in the 3 ways; all: also turned by 90 degrees, 8 in all";

/// The turns of a choice: of `flips` 4, of `all` 8; the image as it is comes first.
pub(in crate::stages) fn turns(choice: &str) -> Vec<Turn> {
    let last = match choice {
        "flips" => 4,
        "all" => 8,
        _ => 1,
    };
    (0..last).map(|bits: u8| Turn { left_right: bits & 1 != 0, up_down: bits & 2 != 0, transpose: bits & 4 != 0 }).collect()
}

/// A transposition, then flips.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stages) struct Turn {
    left_right: bool,
    up_down: bool,
    transpose: bool,
}

impl Turn {
    /// Whether it changes nothing.
    pub fn is_none(self) -> bool {
        !(self.left_right || self.up_down || self.transpose)
    }

    /// Height and width of an image after it.
    pub fn size(self, [height, width]: [usize; 2]) -> [usize; 2] {
        if self.transpose { [width, height] } else { [height, width] }
    }

    /// The place in an image of `size` that a place of the turned one shows.
    fn source(self, [y, x]: [usize; 2], size: [usize; 2]) -> usize {
        let [tall, wide] = self.size(size);
        let y = if self.up_down { tall - 1 - y } else { y };
        let x = if self.left_right { wide - 1 - x } else { x };
        let [y, x] = if self.transpose { [x, y] } else { [y, x] };
        y * size[1] + x
    }

    /// Turns RGB images of `size`, `[images, height, width, 3]`.
    pub fn turned(self, images: &[u8], size: [usize; 2]) -> Vec<u8> {
        let [tall, wide] = self.size(size);
        let mut turned = Vec::with_capacity(images.len());
        for image in images.chunks_exact(3 * size[0] * size[1]) {
            for y in 0..tall {
                for x in 0..wide {
                    turned.extend_from_slice(&image[3 * self.source([y, x], size)..][..3]);
                }
            }
        }
        turned
    }

    /// Adds maps of a turned image, `[maps, height, width]`, to `sums` in the places of the image of `size`.
    pub fn add_back(self, maps: &[f32], size: [usize; 2], sums: &mut [f32]) {
        let ([tall, wide], area) = (self.size(size), (size[0] * size[1]).max(1));
        for (map, sums) in maps.chunks_exact(area).zip(sums.chunks_exact_mut(area)) {
            for y in 0..tall {
                for x in 0..wide {
                    sums[self.source([y, x], size)] += map[y * wide + x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_turn_is_another_one_and_comes_back() {
        let (size, mut seen) = ([2, 3], BTreeSet::new());
        let image: Vec<u8> = (0..6).flat_map(|pixel| [pixel, pixel + 10, pixel + 20]).collect();
        for turn in turns("all") {
            let turned = turn.turned(&image, size);
            let firsts: Vec<f32> = turned.chunks_exact(3).map(|pixel| f32::from(pixel[0])).collect();
            let mut back = vec![100.0; 6];
            turn.add_back(&firsts, size, &mut back);
            assert_eq!(back, [100.0, 101.0, 102.0, 103.0, 104.0, 105.0], "{turn:?}");
            seen.insert((turn.size(size), turned));
        }
        assert_eq!(seen.len(), 8);
        assert!(turns("none").iter().all(|turn| turn.is_none()));
        // The rows from below.
        let flipped = turns("flips")[2].turned(&image, size);
        assert_eq!(flipped.chunks_exact(3).map(|pixel| pixel[0]).collect::<Vec<_>>(), [3, 4, 5, 0, 1, 2]);
    }
}
