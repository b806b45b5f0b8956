//! Vectors of x86 processors, with AVX2 and AVX-512.
#![allow(unsafe_code, reason = "instructions beyond the target's baseline may only run once they are found at run time")]

use super::lanes::{Kernel, Lanes};
use std::arch::x86_64::*;

#[target_feature(enable = "avx512f,avx2,fma")]
pub(super) fn avx512(kernel: impl Kernel) {
    kernel.run::<Sixteen>();
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2(kernel: impl Kernel) {
    kernel.run::<Eight>();
}

/// Only used by code that runs within [`avx2`].
#[derive(Clone, Copy)]
struct Eight(__m256);

impl Lanes for Eight {
    const COUNT: usize = 8;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the processor has AVX, since only `avx2` runs kernels with this type.
        Eight(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        let from = &from[..8];
        // SAFETY: as above; the slice holds 8 values.
        Eight(unsafe { _mm256_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..8];
        // SAFETY: as above; the slice holds 8 values.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the processor has FMA, since only `avx2` runs kernels with this type.
        Eight(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    fn totals([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        let mut totals = [0.0; 4];
        // SAFETY: as above; the array holds 4 values.
        unsafe {
            let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
            let sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
            _mm_storeu_ps(totals.as_mut_ptr(), sums);
        }
        totals
    }
}

/// Only used by code that runs within [`avx512`].
#[derive(Clone, Copy)]
struct Sixteen(__m512);

impl Lanes for Sixteen {
    const COUNT: usize = 16;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: the processor has AVX-512, since only `avx512` runs kernels with this type.
        Sixteen(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        let from = &from[..16];
        // SAFETY: as above; the slice holds 16 values.
        Sixteen(unsafe { _mm512_loadu_ps(from.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, to: &mut [f32]) {
        let to = &mut to[..16];
        // SAFETY: as above; the slice holds 16 values.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        // SAFETY: as above.
        Sixteen(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }

    #[inline(always)]
    fn totals(four: [Self; 4]) -> [f32; 4] {
        // SAFETY: as above.
        four.map(|lanes| unsafe { _mm512_reduce_add_ps(lanes.0) })
    }
}
