//! Accumulation: windows of micro-batches against the same samples as one batch, short last windows, uneven micro-batches.
//! And the network's gradients against finite differences, without any fixture.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use burn::tensor::Tensor;
use common::{cpu, distance, names, network, part, samples, weights};
use pipeline_training::network::Algorithm;
use pipeline_training::optimizer::{Optimizer, Rule, Sgd};
use pipeline_training::trainee::Shared;
use pipeline_training::window::Window;

/// The weights after two steps on windows whose micro-batches end at these samples.
fn trained(norm: &str, windows: &[&[usize]]) -> Vec<f32> {
    let network = network(8, 3, norm);
    let mut optimizer = Optimizer::new(Rule::Sgd(Sgd { momentum: 0.9, weight_decay: 0.0, nesterov: false }), None);
    let (images, masks) = samples(8, 16, 5);
    let mut from = 0;
    for ends in windows {
        let mut window = None;
        for &to in *ends {
            let gradients = network.gradients(part(&images, from, to), part(&masks, from, to), names(from..to));
            Window::gather(&mut window, gradients.expect("images that fit"));
            from = to;
        }
        optimizer.step(window.expect("micro-batches"), 0.1).expect("finite");
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
        let shared = network(4, 2, norm);
        let (images, masks) = samples(2, 8, 3);
        let gradients = shared.gradients(images.clone(), masks.clone(), names(0..2)).expect("images that fit").gradients;
        let loss = |slot: usize, direction: &Tensor<1>, by: f64| -> f64 {
            let changed = Shared::new(shared.lock().expect("no panic before").clone());
            changed.lock().expect("no panic before").state.trained[slot].inplace(|weight| weight + direction.clone() * by);
            let losses = changed.gradients(images.clone(), masks.clone(), names(0..2)).expect("images that fit").losses;
            losses.try_to_vec_as::<f32>().expect("float32").iter().map(|&loss| f64::from(loss)).sum()
        };
        for (slot, gradient) in gradients.iter().enumerate() {
            let slope = (gradient.clone() * gradient.clone()).sum().into_scalar::<f32>();
            let norm_of = f64::from(slope).sqrt();
            // Along the gradient itself the slope is its norm.
            let direction = gradient.clone() / norm_of.max(1e-12);
            let measured = (loss(slot, &direction, 1e-3) - loss(slot, &direction, -1e-3)) / 2e-3;
            assert!((measured - norm_of).abs() < 2e-3 + 0.05 * norm_of, "{norm} {slot}: {measured} for {norm_of}");
        }
    }
}

#[test]
fn both_ways_to_convolve_agree() {
    let (images, masks) = samples(3, 24, 9);
    let gradients = |algorithm: Algorithm| {
        let shared = network(16, 3, "group");
        shared.lock().expect("no panic before").state.algorithm = algorithm;
        shared.gradients(images.clone(), masks.clone(), names(0..3)).expect("images that fit").gradients
    };
    for (a, b) in gradients(Algorithm::Native).into_iter().zip(gradients(Algorithm::Products)) {
        let size = a.clone().abs().max().into_scalar::<f32>();
        let difference = (a - b).abs().max().into_scalar::<f32>();
        assert!(difference <= 1e-4 * size + 1e-6, "{difference} of {size}");
    }
    assert_eq!(Algorithm::of(&cpu()), Algorithm::Products);
}
