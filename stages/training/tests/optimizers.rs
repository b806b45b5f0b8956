//! The optimizers, hand-computed as PyTorch's documentation states them, and what a step refuses.
//! Whole runs against PyTorch are in `verify.rs`.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use burn::tensor::Tensor;
use common::{add, network, part, samples, weights};
use pipeline_training::micro_batch::Pixels;
use pipeline_training::optimizer::{Adam, Optimizer, Rule, Sgd};

/// Two steps with gradients 1 and 2 everywhere, from weights of 1, with lr 0.1; the weight after each.
fn two_steps(rule: Rule, clip: Option<f64>) -> [f32; 2] {
    let network = network(1, 1, "group");
    {
        let mut trainee = network.lock().expect("no panic before");
        trainee.state.trained.iter_mut().for_each(|tensor| tensor.inplace(|tensor| tensor.ones_like()));
    }
    let mut optimizer = Optimizer::new(rule, clip);
    [1.0, 2.0].map(|gradient: f32| {
        let mut window = None;
        add(&network, &mut window, samples(2, 4, 1));
        // Two samples: the sum of their gradients is twice the mean.
        let sums = |sum: Tensor<1>| sum.ones_like() * (2.0 * gradient);
        network.lock().expect("no panic before").gradients_mut().iter_mut().for_each(|sum| sum.inplace(sums));
        let figures = optimizer.step(&window.expect("one micro-batch"), 0.1).expect("finite");
        let count = weights(&network).len() as f64;
        assert!((figures.grad_norm - f64::from(gradient) * count.sqrt()).abs() < 1e-5, "measured before clipping");
        weights(&network)[0]
    })
}

fn near(actual: [f32; 2], expected: [f64; 2]) {
    assert!(actual.iter().zip(expected).all(|(a, e)| (f64::from(*a) - e).abs() < 2e-6), "{actual:?} for {expected:?}");
}

#[test]
fn sgd() {
    let rule = |momentum, weight_decay, nesterov| Rule::Sgd(Sgd { momentum, weight_decay, nesterov });
    near(two_steps(rule(0.0, 0.0, false), None), [0.9, 0.7]);
    // d1 = 1 + 0.5; w1 = 0.85. d2 = 2 + 0.425; buffer = 0.9 * 1.5 + 2.425 = 3.775; w2 = 0.85 - 0.3775.
    near(two_steps(rule(0.9, 0.5, false), None), [0.85, 0.4725]);
    // w1 = 1 - 0.1 (1 + 0.9); buffer 2.9; w2 = w1 - 0.1 (2 + 0.9 * 2.9).
    near(two_steps(rule(0.9, 0.0, true), None), [0.81, 0.349]);
}

#[test]
fn adam_and_adamw() {
    let rule = |weight_decay, decoupled| Rule::Adam(Adam { betas: [0.9, 0.99], eps: 0.1, weight_decay, decoupled });
    // Step 1: both corrected means are 1. Step 2: m = 0.1 * 0.9 + 0.2 = 0.29 / 0.19, v = (0.01 * 0.99 + 0.04) / 0.0199.
    let second = (0.29 / 0.19) / ((0.0499f64 / 0.0199).sqrt() + 0.1);
    let first = 1.0 - 0.1 / 1.1;
    near(two_steps(rule(0.0, false), None), [first, first - 0.1 * second]);
    let decayed = 1.0 - 0.1 * 0.5 - 0.1 / 1.1;
    near(two_steps(rule(0.5, true), None), [decayed, decayed * 0.95 - 0.1 * second]);
    // Coupled decay enters the gradients: 1.5, then 2 + w / 2.
    let coupled = 1.0 - 0.1 * 1.5 / 1.6;
    let gradient = 2.0 + 0.5 * coupled;
    let (m, v) = ((0.9 * 0.15 + 0.1 * gradient) / 0.19, (0.99 * 0.0225 + 0.01 * gradient * gradient) / 0.0199);
    near(two_steps(rule(0.5, false), None), [coupled, coupled - 0.1 * m / (v.sqrt() + 0.1)]);
}

#[test]
fn clipping_is_by_the_norm_over_all_weights() {
    let count = weights(&network(1, 1, "group")).len() as f64;
    let (one, two) = (count.sqrt(), 2.0 * count.sqrt());
    let rule = Rule::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    // The largest norm is that of the first gradient, so only the second is clipped, to 1 everywhere.
    near(two_steps(rule, Some(one + 1e-6)), [0.9, 0.8]);
    near(two_steps(rule, Some(two)), [0.9, 0.7]);
}

#[test]
fn a_loss_that_is_not_finite_names_its_sample_and_changes_nothing() {
    let network = network(4, 2, "group");
    let mut broken = samples(2, 8, 1);
    if let Pixels::Floats(values) = &mut broken.pixels {
        values[3 * 64] = f32::NAN;
    }
    let before = weights(&network);
    let mut window = None;
    add(&network, &mut window, part(&broken, 0, 2));
    let rule = Rule::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    let error = Optimizer::new(rule, None).step(&window.expect("one"), 0.1).expect_err("not a number");
    assert!(error.message().contains("sample s1") && error.message().contains("step 1"), "{error}");
    assert_eq!(before, weights(&network));
}
