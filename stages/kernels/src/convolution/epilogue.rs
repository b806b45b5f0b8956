//! What is applied to sums while they are stored.

use super::each::Wide;
use super::lanes::{Kernel, Lanes};
use crate::Activation;

/// Adds a bias and applies an activation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epilogue<'a> {
    /// One value per output.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

impl Epilogue<'_> {
    /// Stores sums as they are.
    pub(super) const NONE: Self = Self { bias: None, activation: Activation::Identity };

    /// Applies the epilogue to some of an output's sums, in place.
    pub(super) fn apply(self, output: usize, sums: &mut [f32]) {
        match (self.bias.map(|bias| bias[output]), self.activation) {
            (Some(bias), activation) => activation.apply_after(Wide(sums), |sum| sum + bias),
            (None, Activation::Identity) => {}
            (None, activation) => activation.apply_after(Wide(sums), |sum| sum),
        }
    }
}

/// Interleaves the even and odd columns of a row.
pub(super) struct Interleave<'a> {
    pub(super) even: &'a [f32],
    pub(super) odd: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Kernel for Interleave<'_> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        for (pair, (even, odd)) in self.to.as_chunks_mut::<2>().0.iter_mut().zip(self.even.iter().zip(self.odd)) {
            *pair = [*even, *odd];
        }
    }
}
