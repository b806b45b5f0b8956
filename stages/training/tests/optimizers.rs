//! The optimizers, hand-computed as PyTorch's documentation states them, the average of weights, and what a step refuses.
//! Whole runs against PyTorch are in `verify.rs`.
#![allow(clippy::expect_used, reason = "tests may panic")]

mod common;

use burn::tensor::Tensor;
use common::{add, distance, network, part, samples, weights};
use pipeline_training::micro_batch::Pixels;
use pipeline_training::optimizer::{Adam, Optimizer, Rule, Sgd};
use pipeline_training::policy::LossScale;
use pipeline_training::trainee::Shared;

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

/// The values of the average of a network's weights; nothing where there is none.
fn average(network: &Shared) -> Vec<f32> {
    let trainee = network.lock().expect("no panic before");
    trainee.average().into_iter().flatten().flat_map(|tensor| tensor.try_to_vec_as::<f32>().expect("float32")).collect()
}

fn step(network: &Shared, optimizer: &mut Optimizer, seed: u64) {
    let mut window = None;
    add(network, &mut window, samples(2, 8, seed));
    optimizer.step(&window.expect("one micro-batch"), 0.05).expect("finite");
}

/// The recurrence in float64 over the weights of each step, and training that doesn't change by it.
#[test]
fn an_average_follows_the_weights_and_changes_no_training() {
    let rule = Rule::Adam(Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01, decoupled: true });
    let (plain, averaged) = (network(4, 2, "batch"), network(4, 2, "batch"));
    let (mut without, mut with) = (Optimizer::new(rule, None), Optimizer::new(rule, None).averaging(Some(0.3)));
    let mut expected: Vec<f64> = weights(&averaged).into_iter().map(f64::from).collect();
    for updates in 0..6 {
        step(&plain, &mut without, updates);
        step(&averaged, &mut with, updates);
        assert_eq!(weights(&plain), weights(&averaged), "the same bytes");
        // 1/10, 2/11, 3/12, then at most 0.3.
        let decay = f64::min(0.3, (1.0 + updates as f64) / (10.0 + updates as f64));
        for (mean, weight) in expected.iter_mut().zip(weights(&averaged)) {
            *mean = decay * *mean + (1.0 - decay) * f64::from(weight);
        }
        let expected: Vec<f32> = expected.iter().map(|mean| *mean as f32).collect();
        assert!(distance(&average(&averaged), &expected) < 1e-6, "after {updates} updates");
    }
    assert!(average(&plain).is_empty());
    assert!(distance(&average(&averaged), &weights(&averaged)) > 1e-3);

    // Evaluation is that of a network that has the average for its weights, with the current running statistics.
    let images = samples(2, 8, 9);
    let before = weights(&averaged);
    let own = averaged.lock().expect("no panic before").predict(&images).expect("images that fit");
    assert_eq!(weights(&averaged), before, "the weights are back");
    let state = averaged.lock().expect("no panic before").averaged();
    let mut trainee = plain.lock().expect("no panic before");
    let of_weights = trainee.predict(&images).expect("images that fit");
    trainee.state = state;
    assert_eq!(trainee.predict(&images).expect("images that fit"), own);
    assert_ne!(of_weights, own);
    assert_eq!(trainee.state.counters, [6; 1].repeat(trainee.state.counters.len()), "statistics are the current ones");
}

#[test]
fn a_discarded_window_leaves_the_average_alone() {
    let network = network(4, 2, "group");
    let rule = Rule::Sgd(Sgd { momentum: 0.0, weight_decay: 0.0, nesterov: false });
    let mut optimizer = Optimizer::new(rule, None).averaging(Some(0.9));
    step(&network, &mut optimizer, 1);
    let before = (weights(&network), average(&network));
    network.lock().expect("no panic before").scale = LossScale::new(pipeline_training::Precision::Float16, LossScale::START);
    let mut window = None;
    add(&network, &mut window, samples(2, 8, 2));
    let infinite = |sum: Tensor<1>| sum.ones_like() * f32::INFINITY;
    network.lock().expect("no panic before").gradients_mut().iter_mut().for_each(|sum| sum.inplace(infinite));
    assert!(optimizer.step(&window.expect("one micro-batch"), 0.05).expect("an overflow is no error").skipped);
    assert_eq!((weights(&network), average(&network)), before);
}
