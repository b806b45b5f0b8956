//! Runs a loop compiled for the widest vectors that the processor has.

/// A loop and its data.
pub(crate) trait Kernel {
    type Output;

    /// `FUSED` means that fused multiply-add is fast. Implementations must be marked `#[inline(always)]`, as must everything
    /// hot that they call: only inlined code is compiled for the wide vectors.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs a kernel, compiled for AVX2, FMA and F16C where the processor has them.
pub(crate) fn widest<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
        // SAFETY: the check above found all features that `with_features` is compiled for.
        #[allow(unsafe_code, reason = "what needs a feature may only run once it is found at run time")]
        return unsafe { with_features(kernel) };
    }
    if cfg!(target_arch = "aarch64") { kernel.run::<true>() } else { kernel.run::<false>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_features<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

/// `a * b + c`, rounded once where `FUSED`.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}
