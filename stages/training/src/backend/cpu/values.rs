//! The values of a map on the CPU, in one of three types, and the conversion of images into a map.

use bytemuck::Zeroable;
use half::{bf16, f16};
use pipeline_contract::StageError;
use pipeline_images::Normalization;
use pipeline_kernels::{Area, Element};

use crate::memory::{Fault, Tried};
use crate::pass::Images;
use crate::precision::Precision;

/// The values of a map.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    Float32(Vec<f32>),
    Float16(Vec<f16>),
    BFloat16(Vec<bf16>),
}

/// A value type and its variant of [`Values`].
pub(crate) trait Store: Element + Zeroable {
    fn wrap(values: Vec<Self>) -> Values;
    /// The values of a map of this type. For a map of another type the slice is empty, which the kernels' size checks refuse.
    fn of(values: &Values) -> &[Self];
    fn of_mut(values: &mut Values) -> &mut [Self];
}

macro_rules! stores {
    ($($type:ty, $variant:ident);*) => {$(
        impl Store for $type {
            fn wrap(values: Vec<Self>) -> Values {
                Values::$variant(values)
            }

            fn of(values: &Values) -> &[Self] {
                if let Values::$variant(values) = values { values } else { &[] }
            }

            fn of_mut(values: &mut Values) -> &mut [Self] {
                if let Values::$variant(values) = values { values } else { &mut [] }
            }
        }
    )*};
}

stores!(f32, Float32; f16, Float16; bf16, BFloat16);

/// All zeros, from the system's zeroed pages, so nothing is written. Unlike `vec![0.0; count]` it doesn't abort the process when
/// the system can't provide the memory.
///
/// # Errors
/// [`Fault::Memory`] in that case.
pub(crate) fn zeros<T: Zeroable>(count: usize) -> Tried<Vec<T>> {
    bytemuck::allocation::try_zeroed_vec(count).map_err(|()| Fault::refused(count * size_of::<T>()))
}

impl Values {
    pub fn precision(&self) -> Precision {
        match self {
            Self::Float32(_) => Precision::Float32,
            Self::Float16(_) => Precision::Float16,
            Self::BFloat16(_) => Precision::BFloat16,
        }
    }

    /// The values as float32; values that already are float32 aren't copied.
    pub fn into_floats(self) -> Vec<f32> {
        fn widen<E: Element>(values: &[E]) -> Vec<f32> {
            let mut wide = vec![0.0; values.len()];
            E::widen(values, &mut wide);
            wide
        }
        match self {
            Self::Float32(values) => values,
            Self::Float16(values) => widen(&values),
            Self::BFloat16(values) => widen(&values),
        }
    }
}

/// Runs the same code with the type of a precision.
macro_rules! with {
    ($precision:expr, $type:ident => $work:expr) => {
        match $precision {
            $crate::precision::Precision::Float32 | $crate::precision::Precision::Tf32 => {
                type $type = f32;
                $work
            }
            $crate::precision::Precision::Float16 => {
                type $type = half::f16;
                $work
            }
            $crate::precision::Precision::BFloat16 => {
                type $type = half::bf16;
                $work
            }
        }
    };
}
pub(crate) use with;

/// Checks that the number of image values matches their area.
///
/// # Errors
/// When it doesn't: a bug of the caller.
pub(crate) fn fit(held: usize, area: Area) -> Tried<()> {
    if held == area.values(3) && held > 0 {
        return Ok(());
    }
    let Area { batch, height, width } = area;
    let message = format!("a batch of {batch} images of {height} x {width} doesn't hold as many pixels");
    Err(StageError::new(message).into())
}

/// The float that each 8-bit pixel becomes, `(pixel / 255 - mean) / std`, as a table of 256 values per channel: no division per
/// pixel, and each value exactly as the formula gives it.
pub(crate) fn tables<E: Store>(normalization: &Normalization) -> [Vec<E>; 3] {
    std::array::from_fn(|channel| {
        let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
        let wide: Vec<f32> = (0..=255u8).map(|pixel| (f32::from(pixel) / 255.0 - mean) / std).collect();
        let mut table = vec![E::zeroed(); 256];
        E::narrow(&wide, &mut table);
        table
    })
}

/// Images as `[batch, 3, height, width]`; 8-bit pixels are converted with [`tables`].
///
/// # Errors
/// When the number of values doesn't match the area (a bug of the caller), or memory is short.
pub(crate) fn planes<E: Store>(images: Images<'_>, area: Area) -> Tried<Vec<E>> {
    let (count, pixels) = (area.values(3), area.pixels());
    let held = match images {
        Images::Pixels(values, _) => values.len(),
        Images::Planes(values) => values.len(),
    };
    fit(held, area)?;
    let mut out = zeros(count)?;
    match images {
        Images::Planes(values) => E::narrow(values, &mut out),
        Images::Pixels(values, normalization) => {
            let tables = tables::<E>(normalization);
            for (image, planes) in values.chunks_exact(pixels * 3).zip(out.chunks_exact_mut(pixels * 3)) {
                for (channel, (plane, table)) in planes.chunks_exact_mut(pixels).zip(&tables).enumerate() {
                    for (value, pixel) in plane.iter_mut().zip(image.as_chunks::<3>().0) {
                        *value = table[usize::from(pixel[channel])];
                    }
                }
            }
        }
    }
    Ok(out)
}

/// The sum of squares in float64, which can hold the squares of all float32 values.
pub(crate) fn squares<E: Element>(values: &[E]) -> f64 {
    let mut wide = [0.0; 256];
    let mut sum = 0.0;
    for values in values.chunks(256) {
        let wide = &mut wide[..values.len()];
        E::widen(values, wide);
        sum += wide.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>();
    }
    sum
}

/// Adds two maps, rounding once.
pub(crate) fn add<E: Element>(sum: &mut [E], other: &[E]) {
    let (mut left, mut right) = ([0.0; 256], [0.0; 256]);
    for (sum, other) in sum.chunks_mut(256).zip(other.chunks(256)) {
        let (left, right) = (&mut left[..sum.len()], &mut right[..sum.len()]);
        E::widen(sum, left);
        E::widen(other, right);
        pipeline_kernels::add(left, right);
        E::narrow(left, sum);
    }
}
