//! The types that maps are stored in.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// A type that maps are stored in; arithmetic is in float32.
pub trait Element: Copy + Default + Send + Sync + 'static {
    /// Widens a row.
    ///
    /// # Panics
    /// When the lengths differ.
    fn widen(from: &[Self], to: &mut [f32]);

    /// Rounds a row to the nearest values, ties to even.
    ///
    /// # Panics
    /// When the lengths differ.
    fn narrow(from: &[f32], to: &mut [Self]);
}

impl Element for f32 {
    fn widen(from: &[Self], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        to.copy_from_slice(from);
    }
}

impl Element for f16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        HalfFloatSliceExt::convert_to_f32_slice(from, to);
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        HalfFloatSliceExt::convert_from_f32_slice(to, from);
    }
}

/// The upper half of a float32. `half` converts value by value; this becomes vectors.
impl Element for bf16 {
    fn widen(from: &[Self], to: &mut [f32]) {
        assert_eq!(from.len(), to.len(), "as many values");
        for (from, to) in from.iter().zip(to) {
            *to = f32::from_bits(u32::from(from.to_bits()) << 16);
        }
    }

    fn narrow(from: &[f32], to: &mut [Self]) {
        assert_eq!(from.len(), to.len(), "as many values");
        for (from, to) in from.iter().zip(to) {
            let bits = from.to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
            // A NaN keeps its upper half and is made quiet, so that it stays a NaN.
            let kept = if from.is_nan() { bits | 0x40_0000 } else { rounded };
            *to = bf16::from_bits((kept >> 16) as u16);
        }
    }
}
