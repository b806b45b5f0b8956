//! Brings probabilities back from the network's size to the photograph's own, and says beforehand where that can't be. Chooses no classes and no
//! threshold.

use pipeline_contract::{Facts, Finding, Place, fact};

/// A warning where test images, of which `images` is known, were kept for an evaluation but have lost their originals: their figures will be at the
/// network's size.
pub(in crate::stages) fn lost(images: &Facts) -> Option<Finding> {
    if images.get(fact::EVALUATED).is_none() || images.get(fact::ORIGINAL).is_some() {
        return None;
    }
    let what = "figures will be at the network's size, not at the photograph's own";
    Some(match images.get(fact::MOVED) {
        Some(fact) => {
            let place = Place::Fact { input: 1, name: fact::MOVED.into() };
            let (stage, option) = (&fact.stage, &fact.option);
            Finding::warning(place, format!("{what}: `{option}` of `{stage}` moves the pixels of test images"))
                .help(format!("take `{stage}` out of the test branch, or set `at: training` of the evaluator"))
        }
        None => Finding::warning(Place::Option("at".into()), format!("{what}: no stage before this one keeps that"))
            .help("`decode` keeps it; or set `at: training`"),
    })
}

/// Probabilities `[height, width]` of a photograph, interpolated between the centres of the pixels of the part `shown` (first row and column,
/// height and width) of a map that is `across` pixels wide. Bilinear, the edges repeated: `torch.nn.functional.interpolate` with
/// `align_corners=False`, `cv2.INTER_LINEAR`. A part of the photograph's own size is copied.
pub(in crate::stages) fn bring_back(map: &[f32], across: usize, shown: [usize; 4], [height, width]: [usize; 2]) -> Vec<f32> {
    let [top, left, tall, wide] = shown;
    let row = |y: usize| &map[(top + y) * across + left..][..wide];
    if [tall, wide] == [height, width] {
        return (0..tall).flat_map(row).copied().collect();
    }
    let columns: Vec<Between> = (0..width).map(|x| Between::of(x, width, wide)).collect();
    let mut values = Vec::with_capacity(height * width);
    for y in 0..height {
        let between = Between::of(y, height, tall);
        let (above, below) = (row(between.first), row(between.second));
        values.extend(columns.iter().map(|column| {
            let across = |row: &[f32]| column.mean(row[column.first], row[column.second]);
            between.mean(across(above), across(below))
        }));
    }
    values
}

/// The two pixels between whose centres a point lies, and how near it is to the second.
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

impl Between {
    /// For the centre of pixel `at` of `to`, in a side of `from` pixels.
    fn of(at: usize, to: usize, from: usize) -> Self {
        let place = ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let first = place as usize;
        Self { first, second: (first + 1).min(from - 1), share: (place - first as f64) as f32 }
    }

    fn mean(&self, first: f32, second: f32) -> f32 {
        first + (second - first) * self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_pytorch_s_interpolation() {
        // torch.nn.functional.interpolate(torch.tensor([[[[0., 1.], [2., 4.]]]]), (3, 4), mode="bilinear")
        let expected = [0.0, 0.25, 0.75, 1.0, 1.0, 1.375, 2.125, 2.5, 2.0, 2.5, 3.5, 4.0];
        let padded = [9.0, 9.0, 9.0, 9.0, 0.0, 1.0, 9.0, 2.0, 4.0, 9.0, 9.0, 9.0];
        assert_eq!(bring_back(&padded, 3, [1, 1, 2, 2], [3, 4]), expected);
    }

    #[test]
    fn a_map_of_the_photograph_s_size_is_copied_and_sizes_may_be_odd() {
        let map: Vec<f32> = (0..35).map(|at| at as f32).collect();
        assert_eq!(bring_back(&map, 7, [0, 0, 5, 7], [5, 7]), map);
        for [height, width] in [[1, 1], [2, 31], [13, 3], [1, 64]] {
            let values = bring_back(&[0.5; 35], 7, [0, 0, 5, 7], [height, width]);
            assert_eq!(values, vec![0.5; height * width], "a constant stays one");
        }
    }
}
