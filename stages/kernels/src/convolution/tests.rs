//! Compares the kernels compiled for any processor with those for this processor's widest vectors.

use super::lanes::Kernel;
use super::run::run;
use super::{microkernel::Chunk, products::Block};

fn values(count: usize, step: usize) -> Vec<f32> {
    (0..count).map(|i| (i * step % 29) as f32 / 29.0 - 0.5).collect()
}

/// The offsets of the 3x3 taps of 5 inputs of 300 values, with rows 20 apart: of all taps, or of the first tap of each row.
fn places(neighbours: usize) -> Vec<usize> {
    (0..5 * 9).step_by(neighbours).map(|place| place / 9 * 300 + place % 9 / 3 * 20 + place % 3).collect()
}

fn close(one: &[f32], other: &[f32]) {
    assert!(one.iter().any(|value| *value != 0.0));
    for (one, other) in one.iter().zip(other) {
        assert!((one - other).abs() < 1e-4, "{one} and {other}");
    }
}

#[test]
fn the_convolution_is_the_same_in_any_vectors() {
    for (outputs, neighbours) in (1..=13).flat_map(|outputs| [(outputs, 1), (outputs, 3)]) {
        let (x, weights) = (values(5 * 300, 7), values(outputs * 5 * 9, 11));
        let computed = |widest: bool| {
            let mut sums = values(outputs * 128, 5);
            for first in [true, false] {
                let (x, places, weights, sums) = (&x, &places(neighbours), &weights, &mut sums);
                let kernel = Chunk { x, places, neighbours, weights, outputs, sums, sums_run: 128, pixels: 96, first };
                if widest { run(kernel) } else { kernel.run::<[f32; 4]>() }
            }
            sums
        };
        close(&computed(true), &computed(false));
    }
}

#[test]
fn the_weight_gradient_is_the_same_in_any_vectors() {
    for (outputs, neighbours) in (1..=9).flat_map(|outputs| [(outputs, 1), (outputs, 3)]) {
        let (x, y) = (values(5 * 300, 7), values(outputs * 128, 11));
        let computed = |widest: bool| {
            let mut sums = vec![[0.0; 4]; outputs.div_ceil(4) * 5 * 9];
            let (x, places, y, target) = (&x, &places(neighbours), &y, &mut sums);
            let kernel = Block { x, places, neighbours, y, y_run: 128, pixels: 96, outputs, sums: target };
            if widest {
                run(kernel)
            } else {
                kernel.run::<[f32; 4]>()
            }
            sums.concat()
        };
        close(&computed(true), &computed(false));
    }
}
