//! The losses and the sums over flat values, against float64.

mod reference;

use pipeline_kernels::{LossKind, add, all_finite, loss, sum_of_squares};
use reference::{Random, assert_same_for_threads};

/// The losses' formulas, without care for overflow.
fn formula(kind: LossKind, z: &[f64], y: &[u8]) -> f64 {
    let p = |z: f64| 1.0 / (1.0 + (-z).exp());
    let on = |y: u8| if y == 0 { 0.0 } else { 1.0 };
    let pairs = || z.iter().map(|z| p(*z)).zip(y.iter().map(|y| on(*y)));
    let entropy = pairs().map(|(p, y)| -(y * p.ln() + (1.0 - y) * (1.0 - p).ln())).sum::<f64>() / z.len() as f64;
    let overlap: f64 = pairs().map(|(p, y)| p * y).sum();
    let total: f64 = pairs().map(|(p, y)| p + y).sum();
    let dice = 1.0 - (2.0 * overlap + 1e-5) / (total + 1e-5);
    match kind {
        LossKind::Bce => entropy,
        LossKind::Dice => dice,
        LossKind::BceDice => entropy + dice,
    }
}

const KINDS: [LossKind; 3] = [LossKind::Bce, LossKind::Dice, LossKind::BceDice];

/// Gradients are what small changes make, and samples do not mix.
#[test]
fn losses_and_gradients() {
    let mut random = Random(1);
    let (pixels, factor) = (60, 3.0);
    for kind in KINDS {
        let logits: Vec<f32> = random.floats(2 * pixels).iter().map(|z| 6.0 * z).collect();
        let masks: Vec<u8> = (0..2 * pixels).map(|_| if random.next() < 0.3 { 255 } else { 0 }).collect();
        let (mut z, mut losses) = (logits.clone(), [0.0; 2]);
        loss(kind, &mut z, &masks, 2, factor, &mut losses);
        for sample in 0..2 {
            let range = sample * pixels..(sample + 1) * pixels;
            let (wide, y): (Vec<f64>, _) = (logits[range.clone()].iter().map(|z| f64::from(*z)).collect(), &masks[range]);
            let right = formula(kind, &wide, y);
            assert!((f64::from(losses[sample]) - right).abs() < 1e-6, "{kind:?}: {} for {right}", losses[sample]);
            for pixel in 0..pixels {
                let moved = |step: f64| {
                    let mut moved = wide.clone();
                    moved[pixel] += step;
                    formula(kind, &moved, y)
                };
                let slope = f64::from(factor) * (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let gradient = f64::from(z[sample * pixels + pixel]);
                assert!((gradient - slope).abs() < 1e-6, "{kind:?}: {gradient} for {slope}");
            }
        }
    }
}

/// Large logits neither overflow nor vanish, empty masks have a loss, and a NaN is not hidden.
#[test]
fn extremes() {
    for (kind, right) in KINDS.into_iter().zip([100.0, 0.5, 100.5]) {
        let (mut z, mut losses) = ([200.0, -200.0, 1e30, -1e30], [0.0]);
        loss(kind, &mut z, &[0, 1, 1, 0], 1, 1.0, &mut losses);
        assert!((losses[0] - right).abs() < 1e-3, "{kind:?}: {}", losses[0]);
        assert!(all_finite(&z));
        let mut z = [-60.0; 8];
        loss(kind, &mut z, &[0; 8], 1, 1.0, &mut losses);
        assert!(losses[0].abs() < 1e-6, "{kind:?}: {}", losses[0]);
        loss(kind, &mut [f32::NAN, 1.0], &[0, 1], 1, 1.0, &mut losses);
        assert!(losses[0].is_nan());
    }
}

#[test]
fn sums_of_flat_values() {
    let x = Random(2).floats(100_003);
    let right: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    assert!((sum_of_squares(&x) - right).abs() < 1e-6 * right);
    let mut into = x.clone();
    add(&mut into, &x);
    assert!(into.iter().zip(&x).all(|(into, x)| *into == 2.0 * x));
    assert!(all_finite(&x));
    for (place, value) in [(0, f32::NAN), (70_001, f32::INFINITY), (100_002, f32::NEG_INFINITY)] {
        let mut x = x.clone();
        x[place] = value;
        assert!(!all_finite(&x));
    }
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    let logits = Random(3).floats(2 * 50_001);
    let masks: Vec<u8> = logits.iter().map(|z| u8::from(*z > 0.2)).collect();
    for kind in KINDS {
        assert_same_for_threads(|| {
            let (mut z, mut losses) = (logits.clone(), vec![0.0; 2]);
            loss(kind, &mut z, &masks, 2, 1.0, &mut losses);
            losses.extend(z);
            losses
        });
    }
    assert_same_for_threads(|| {
        let bits = sum_of_squares(&logits).to_bits();
        vec![f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)]
    });
}
