//! Halves are widened exactly and rounded to the nearest, ties to even, as the `half` crate does one by one.

use half::{bf16, f16};
use pipeline_kernels::Element;

/// Every half is widened as the reference does, and back.
#[test]
fn all_halves() {
    let bits: Vec<u16> = (0..=u16::MAX).collect();
    let mut wide = vec![0.0; bits.len()];
    let halves: Vec<f16> = bits.iter().map(|bits| f16::from_bits(*bits)).collect();
    f16::widen(&halves, &mut wide);
    let mut back = halves.clone();
    f16::narrow(&wide, &mut back);
    for ((half, wide), back) in halves.iter().zip(&wide).zip(back) {
        assert_eq!(wide.is_nan(), half.is_nan());
        assert!(half.is_nan() || (wide.to_bits(), back.to_bits()) == (half.to_f32().to_bits(), half.to_bits()), "{half:?}");
        assert_eq!(back.is_nan(), half.is_nan());
    }
    let halves: Vec<bf16> = bits.iter().map(|bits| bf16::from_bits(*bits)).collect();
    bf16::widen(&halves, &mut wide);
    let mut back = halves.clone();
    bf16::narrow(&wide, &mut back);
    for ((half, wide), back) in halves.iter().zip(&wide).zip(back) {
        assert_eq!([wide.is_nan(), back.is_nan()], [half.is_nan(); 2]);
        assert!(half.is_nan() || (wide.to_bits(), back.to_bits()) == (half.to_f32().to_bits(), half.to_bits()), "{half:?}");
    }
}

/// Values around every half and around the middle between it and the next are rounded as the reference does.
#[test]
fn rounding() {
    for step in [12, 13, 15, 16] {
        let near = |bits: u32| [bits.wrapping_sub(1), bits, bits.wrapping_add(1)];
        let values: Vec<f32> = (0..1u32 << (32 - step)).flat_map(|high| near(high << step)).map(f32::from_bits).collect();
        let mut halves = vec![f16::ZERO; values.len()];
        f16::narrow(&values, &mut halves);
        let mut shorts = vec![bf16::ZERO; values.len()];
        bf16::narrow(&values, &mut shorts);
        for ((value, half), short) in values.iter().zip(halves).zip(shorts) {
            let (right_half, right_short) = (f16::from_f32(*value), bf16::from_f32(*value));
            assert!(half.to_bits() == right_half.to_bits() || (half.is_nan() && value.is_nan()), "{value:e} {half:?}");
            assert!(short.to_bits() == right_short.to_bits() || (short.is_nan() && value.is_nan()), "{value:e} {short:?}");
        }
    }
}
