//! Vectors of floats, and kernels written once for all of them.

/// A vector of floats.
pub(super) trait Lanes: Copy {
    /// Number of lanes: a multiple of 4, at most [`MOST`].
    const COUNT: usize;

    /// The same value in all lanes.
    fn splat(value: f32) -> Self;

    /// Loads the first values of a slice.
    fn load(from: &[f32]) -> Self;

    /// Stores to the first values of a slice.
    fn store(self, to: &mut [f32]);

    /// `self + a * b`; whether it is rounded once or twice depends on the processor.
    fn plus_product(self, a: Self, b: Self) -> Self;

    /// The sum over the lanes of each of the four vectors.
    fn totals(four: [Self; 4]) -> [f32; 4];
}

/// The maximum number of lanes.
pub(super) const MOST: usize = 16;

/// A computation written over [`Lanes`].
pub(super) trait Kernel {
    /// Runs it. Must be `#[inline(always)]`, and so must everything it calls, to be compiled for its caller's processor.
    fn run<L: Lanes>(self);
}

/// Works on every processor; 64-bit Arm multiplies and adds in one step.
impl Lanes for [f32; 4] {
    const COUNT: usize = 4;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; 4]
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        let mut lanes = [0.0; 4];
        lanes.copy_from_slice(&from[..4]);
        lanes
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        to[..4].copy_from_slice(&self);
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        let one = |i: usize| if cfg!(target_arch = "aarch64") { a[i].mul_add(b[i], self[i]) } else { self[i] + a[i] * b[i] };
        [one(0), one(1), one(2), one(3)]
    }

    #[inline(always)]
    fn totals(four: [Self; 4]) -> [f32; 4] {
        four.map(|[a, b, c, d]| (a + b) + (c + d))
    }
}
