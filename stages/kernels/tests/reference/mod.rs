//! What the tests of layers share: seeded maps, and comparison with references in float64.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and panics where it fails")]

pub mod losses;

use half::{bf16, f16};
use pipeline_kernels::{Activation, Area, Element, View};

/// An element with the largest relative error that storing makes.
pub trait Stored: Element {
    const ROUNDING: f64;
}

impl Stored for f32 {
    const ROUNDING: f64 = 6e-8;
}

impl Stored for f16 {
    const ROUNDING: f64 = 4.9e-4;
}

impl Stored for bf16 {
    const ROUNDING: f64 = 3.91e-3;
}

/// A linear congruential generator (Knuth's MMIX).
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to below 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }

    /// Numbers from -1 to below 1.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (2.0 * self.next() - 1.0) as f32).collect()
    }

    /// Numbers from -1 to 1, rounded to elements.
    pub fn map<E: Element>(&mut self, count: usize) -> Vec<E> {
        stored(&self.floats(count))
    }

    /// A scale and a shift for each plane.
    pub fn affine(&mut self, planes: usize) -> Vec<[f32; 2]> {
        (0..planes).map(|_| [(3.0 * self.next() - 1.5) as f32, (self.next() - 0.5) as f32]).collect()
    }
}

pub fn stored<E: Element>(values: &[f32]) -> Vec<E> {
    let mut map = vec![E::default(); values.len()];
    E::narrow(values, &mut map);
    map
}

pub fn floats<E: Element>(map: &[E]) -> Vec<f32> {
    let mut values = vec![0.0; map.len()];
    E::widen(map, &mut values);
    values
}

/// Every activation.
pub const ACTIVATIONS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::LeakyRelu(0.125)];

/// An activation of a value.
pub fn activated(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Identity => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => x.max(0.0) + slope * x.min(0.0),
    }
}

/// An activation's gradient at a value.
pub fn slope(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Relu if x <= 0.0 => 0.0,
        Activation::LeakyRelu(slope) if x <= 0.0 => slope,
        _ => 1.0,
    }
}

/// A view's values as a kernel has to read them.
pub fn seen<E: Element>(view: View<'_, E>, area: Area) -> Vec<f64> {
    let read = |(index, value): (usize, f32)| {
        let [scale, shift] = view.affine.map_or([1.0, 0.0], |affine| affine[index / area.pixels()]);
        f64::from(activated(view.activation, scale * value + shift))
    };
    floats(view.values).into_iter().enumerate().map(read).collect()
}

/// Asserts that values are right but for being stored, and for `slack`.
#[track_caller]
pub fn assert_close<E: Stored>(values: &[E], right: &[f64], slack: f64) {
    assert_eq!(values.len(), right.len());
    for (index, (value, right)) in floats(values).into_iter().zip(right).enumerate() {
        let error = (f64::from(value) - right).abs();
        assert!(error <= E::ROUNDING * right.abs() + slack, "{index}: {value} for {right}");
    }
}

/// Asserts that something makes the same bits with 1 to 4 threads.
#[track_caller]
pub fn assert_same_for_threads(make: impl Fn() -> Vec<f32> + Sync) {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| make().into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    let one = bits(1);
    for threads in 2..=4 {
        assert!(bits(threads) == one, "{threads} threads");
    }
}
