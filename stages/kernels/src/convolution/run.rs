//! Running a kernel with the widest vectors that the processor has.
#![allow(unsafe_code, reason = "instructions beyond the target's baseline may only run once they are found at run time")]

use super::lanes::Kernel;
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Runs the kernel with the widest vectors of this processor.
pub(super) fn run(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has these features.
            return unsafe { x86::avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has these features.
            return unsafe { x86::avx2(kernel) };
        }
    }
    kernel.run::<[f32; 4]>();
}
