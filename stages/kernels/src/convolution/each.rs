//! Applies a function to each value of a row, with the widest vectors.

use super::lanes::{Kernel, Lanes};
use super::run::run;
use crate::activation::Row;

/// A row outside of a kernel.
pub(super) struct Wide<'a>(pub(super) &'a mut [f32]);

impl Row for Wide<'_> {
    #[inline(always)]
    fn each(self, function: impl Fn(f32) -> f32) {
        run(Each { values: self.0, function });
    }
}

struct Each<'a, F> {
    values: &'a mut [f32],
    function: F,
}

impl<F: Fn(f32) -> f32> Kernel for Each<'_, F> {
    #[inline(always)]
    fn run<L: Lanes>(self) {
        self.values.each(self.function);
    }
}
