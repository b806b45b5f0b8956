//! Adam, AdamW and SGD against PyTorch's algorithms in float64, over several steps, and the average of weights.

mod reference;

use pipeline_kernels::{AdamStep, SgdStep, adam, average, sgd};
use reference::{Random, assert_close, assert_same_for_threads};

const COUNT: usize = 40_007;

fn adam_step(decoupled: bool, weight_decay: f64) -> AdamStep {
    AdamStep { beta1: 0.9, beta2: 0.999, eps: 1e-8, lr: 1e-2, weight_decay, decoupled, step: 1, factor: 0.5 }
}

/// torch.optim.Adam and torch.optim.AdamW, one weight.
fn adam_reference(step: &AdamStep, weight: &mut f64, gradient: f64, [first, second]: &mut [f64; 2]) {
    let mut gradient = gradient * f64::from(step.factor);
    if step.decoupled {
        *weight *= 1.0 - step.lr * step.weight_decay;
    } else {
        gradient += step.weight_decay * *weight;
    }
    *first += (gradient - *first) * (1.0 - step.beta1);
    *second = *second * step.beta2 + gradient * gradient * (1.0 - step.beta2);
    let correction = [step.beta1, step.beta2].map(|beta| 1.0 - beta.powi(step.step as i32));
    *weight -= step.lr / correction[0] * *first / ((*second / correction[1]).sqrt() + step.eps);
}

#[test]
fn adam_and_adamw() {
    for (decoupled, decay) in [(false, 0.0), (false, 0.1), (true, 0.1)] {
        let mut random = Random(1);
        let mut weight = random.floats(COUNT);
        let mut right: Vec<f64> = weight.iter().map(|weight| f64::from(*weight)).collect();
        let (mut first, mut second, mut means) = (vec![0.0; COUNT], vec![0.0; COUNT], vec![[0.0; 2]; COUNT]);
        for number in 1..=5 {
            let step = AdamStep { step: number, ..adam_step(decoupled, decay) };
            let gradient = random.floats(COUNT);
            adam(&step, &mut weight, &gradient, &mut first, &mut second);
            for ((weight, gradient), means) in right.iter_mut().zip(&gradient).zip(&mut means) {
                adam_reference(&step, weight, f64::from(*gradient), means);
            }
        }
        let (right_first, right_second): (Vec<f64>, Vec<f64>) = means.iter().map(|[first, second]| (*first, *second)).unzip();
        assert_close(&weight, &right, 2e-6);
        assert_close(&first, &right_first, 1e-7);
        assert_close(&second, &right_second, 1e-9);
    }
}

/// The first step of Adam moves each weight by the learning rate, whatever the gradient's size.
#[test]
fn first_step_of_adam() {
    let (mut weight, mut first, mut second) = ([1.0, 1.0], [0.0; 2], [0.0; 2]);
    adam(&adam_step(false, 0.0), &mut weight, &[1e-3, -1e3], &mut first, &mut second);
    assert!((weight[0] - 0.99).abs() < 1e-6 && (weight[1] - 1.01).abs() < 1e-6, "{weight:?}");
}

#[test]
fn sgd_with_and_without_momentum() {
    for (momentum, nesterov, weight_decay) in [(0.0, false, 0.0), (0.0, false, 0.1), (0.9, false, 0.1), (0.9, true, 0.1)] {
        let mut random = Random(2);
        let mut weight = random.floats(COUNT);
        let mut right: Vec<f64> = weight.iter().map(|weight| f64::from(*weight)).collect();
        let (mut buffer, mut right_buffer) = (vec![f32::NAN; COUNT], vec![0.0; COUNT]);
        for number in 0..4 {
            let step = SgdStep { lr: 0.1, momentum, weight_decay, nesterov, factor: 0.5, first: number == 0 };
            let gradient = random.floats(COUNT);
            sgd(&step, &mut weight, &gradient, (momentum != 0.0).then_some(&mut buffer[..]));
            for ((weight, gradient), buffer) in right.iter_mut().zip(&gradient).zip(&mut right_buffer) {
                let direction = 0.5 * f64::from(*gradient) + weight_decay * *weight;
                *buffer = if number == 0 { direction } else { momentum * *buffer + direction };
                let ahead = if nesterov { direction + momentum * *buffer } else { *buffer };
                *weight -= 0.1 * if momentum == 0.0 { direction } else { ahead };
            }
        }
        assert_close(&weight, &right, 1e-6);
        if momentum != 0.0 {
            assert_close(&buffer, &right_buffer, 1e-6);
        }
    }
}

#[test]
fn an_average_of_weights() {
    let mut random = Random(5);
    let mut mean = random.floats(COUNT);
    let mut right: Vec<f64> = mean.iter().map(|mean| f64::from(*mean)).collect();
    for share in [0.9, 0.5, 0.001_f32] {
        let weight = random.floats(COUNT);
        average(&mut mean, &weight, share);
        for (right, weight) in right.iter_mut().zip(&weight) {
            *right = (1.0 - f64::from(share)) * *right + f64::from(share) * f64::from(*weight);
        }
    }
    assert_close(&mean, &right, 1e-6);
    // A share of one copies from zeros, and an average of the same weights doesn't drift.
    let weight = random.floats(COUNT);
    let mut mean = vec![0.0; COUNT];
    average(&mut mean, &weight, 1.0);
    (0..1000).for_each(|_| average(&mut mean, &weight, 0.001));
    assert_eq!(mean, weight);
}

#[test]
#[should_panic(expected = "momentum needs a buffer")]
fn momentum_without_a_buffer() {
    let step = SgdStep { lr: 0.1, momentum: 0.9, weight_decay: 0.0, nesterov: false, factor: 1.0, first: true };
    sgd(&step, &mut [1.0], &[1.0], None);
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    let (weight, gradient) = (Random(3).floats(COUNT), Random(4).floats(COUNT));
    assert_same_for_threads(|| {
        let (mut weight, mut first, mut second) = (weight.clone(), vec![0.0; COUNT], vec![0.0; COUNT]);
        adam(&adam_step(true, 0.1), &mut weight, &gradient, &mut first, &mut second);
        average(&mut first, &weight, 0.25);
        [weight, first, second].concat()
    });
}
