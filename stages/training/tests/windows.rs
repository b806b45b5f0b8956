//! Accumulation: windows of micro-batches against the same samples as one batch, short last windows, uneven micro-batches.
//! And the network's gradients against finite differences, without any fixture.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use common::{add, distance, gradients, network, part, samples, weights};
use pipeline_training::optimizer::{Optimizer, Rule, Sgd};
use pipeline_training::trainee::Shared;

/// The weights after two steps on windows whose micro-batches end at these samples.
fn trained(norm: &str, windows: &[&[usize]]) -> Vec<f32> {
    let network = network(8, 3, norm);
    let mut optimizer = Optimizer::new(Rule::Sgd(Sgd { momentum: 0.9, weight_decay: 0.0, nesterov: false }), None);
    let all = samples(8, 16, 5);
    let mut from = 0;
    for ends in windows {
        let mut window = None;
        for &to in *ends {
            add(&network, &mut window, part(&all, from, to));
            from = to;
        }
        optimizer.step(&window.expect("micro-batches"), 0.1).expect("finite");
    }
    weights(&network)
}

#[test]
fn accumulation_equals_the_large_batch_where_the_norm_allows() {
    for norm in ["group", "instance"] {
        let whole = trained(norm, &[&[4], &[8]]);
        for windows in [[&[1, 2, 3, 4][..], &[5, 6, 7, 8]], [&[3, 4], &[5, 8]]] {
            assert!(distance(&whole, &trained(norm, &windows)) < 1e-5, "{norm} {windows:?}");
        }
    }
    let (whole, micro) = (trained("batch", &[&[4], &[8]]), trained("batch", &[&[1, 2, 3, 4], &[5, 6, 7, 8]]));
    assert!(distance(&whole, &micro) > 1e-4, "batch norm sees one image at a time");
}

#[test]
fn a_short_last_window_weighs_its_own_samples() {
    let whole = trained("group", &[&[3], &[6], &[7]]);
    assert!(distance(&whole, &trained("group", &[&[1, 2, 3], &[4, 5, 6], &[7]])) < 1e-5);
}

#[test]
fn gradients_are_those_of_finite_differences() {
    for norm in ["group", "batch", "instance"] {
        let batch = samples(2, 8, 3);
        let (all, _) = gradients(&network(4, 2, norm), &batch);
        let loss = |slot: usize, direction: &[f32], by: f32| -> f64 {
            let changed: Shared = network(4, 2, norm);
            changed.lock().expect("no panic before").state.trained[slot].inplace(|weight| {
                let device = weight.device();
                let values = weight.try_to_vec_as::<f32>().expect("float32");
                let moved: Vec<f32> = values.iter().zip(direction).map(|(w, d)| w + d * by).collect();
                burn::tensor::Tensor::from_floats(moved.as_slice(), &device)
            });
            gradients(&changed, &batch).1.iter().map(|&loss| f64::from(loss)).sum()
        };
        for (slot, gradient) in all.iter().enumerate() {
            let length = gradient.iter().map(|value| value * value).sum::<f32>().sqrt();
            // Along the gradient itself the slope is its norm.
            let direction: Vec<f32> = gradient.iter().map(|value| value / length.max(1e-12)).collect();
            let (measured, length) = ((loss(slot, &direction, 1e-3) - loss(slot, &direction, -1e-3)) / 2e-3, f64::from(length));
            assert!((measured - length).abs() < 2e-3 + 0.05 * length, "{norm} {slot}: {measured} for {length}");
        }
    }
}
