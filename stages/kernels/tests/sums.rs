//! The sums over flat values, against float64.

mod reference;

use pipeline_kernels::{add, all_finite, sum_of_squares};
use reference::{Random, assert_same_for_threads};

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
    let x = Random(3).floats(100_002);
    assert_same_for_threads(|| {
        let bits = sum_of_squares(&x).to_bits();
        vec![f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)]
    });
}
