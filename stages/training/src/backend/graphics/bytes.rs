//! 8-bit images and masks on their way to a device: they are transferred as bytes, four to an integer (WGSL has no smaller type),
//! and unpacked there.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use pipeline_contract::Result;
use pipeline_images::Normalization;
use pipeline_kernels::Area;

use super::tensors::wide;
use crate::backend::cpu::{tables, with};
use crate::backend::work::NORMALIZATION;
use crate::precision::Precision;
use crate::weights;

/// Unpacks bytes on the device into integers from 0 to 255, in order.
pub(super) fn unpack(bytes: &[u8], device: &Device) -> Tensor<1, Int> {
    let (whole, rest) = bytes.as_chunks::<4>();
    let mut words: Vec<i32> = whole.iter().map(|&four| i32::from_le_bytes(four)).collect();
    if !rest.is_empty() {
        let mut four = [0; 4];
        four[..rest.len()].copy_from_slice(rest);
        words.push(i32::from_le_bytes(four));
    }
    let count = words.len();
    // Uploaded flat: rows would be padded.
    let words = Tensor::<1, Int>::from_data(TensorData::new(words, [count]), (device, DType::I32)).reshape([count, 1]);
    let shifts = Tensor::<1, Int>::arange_step(0..32, 8, (device, DType::I32)).reshape([1, 4]);
    // Shifting a negative integer brings ones in from the left, which the mask removes.
    let unpacked = words.bitwise_right_shift(shifts).bitwise_and_scalar(255).reshape([4 * count]);
    if rest.is_empty() { unpacked } else { unpacked.narrow(0, 0, bytes.len()) }
}

/// 8-bit images `[batch, height, width, 3]` as `[batch, 3, height, width]` in the given precision. Each pixel is looked up in the
/// table that the CPU's kernels use, so the values match the CPU's to the last bit, however a device divides and rounds.
pub(super) fn images(
    pixels: &[u8],
    normalization: &Normalization,
    area: Area,
    precision: Precision,
    device: &Device,
) -> Tensor<4> {
    let Area { batch, height, width } = area;
    let count = pixels.len();
    let table: Tensor<1> = with!(precision, E => {
        let table = TensorData::new(tables::<E>(normalization).concat(), [3 * 256]);
        Tensor::from_data(table, (device, precision.dtype()))
    });
    let pixels = unpack(pixels, device).reshape([count / 3, 3]);
    let places = pixels + Tensor::<1, Int>::arange_step(0..3 * 256, 256, (device, DType::I32)).reshape([1, 3]);
    table.select(0, places.reshape([count])).reshape([batch, height, width, 3]).permute([0, 3, 1, 2])
}

/// Masks as float32: 1 where the byte isn't 0.
pub(super) fn masks(masks: &[u8], device: &Device) -> Tensor<1> {
    unpack(masks, device).clamp_max(1).cast(FloatDType::F32)
}

/// Every 8-bit value of every channel, converted to a float of the given precision on the device; returned as float32,
/// `[3, 256]`.
///
/// # Errors
/// What the device reports.
pub(super) fn every_pixel(device: &Device, precision: Precision) -> Result<Vec<f32>> {
    let pixels: Vec<u8> = (0..=255).flat_map(|pixel| [pixel; 3]).collect();
    let area = Area { batch: 1, height: 16, width: 16 };
    let made = wide(images(&pixels, &NORMALIZATION, area, precision, device)).reshape([3 * 256]);
    weights::values(&made)
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]
mod tests {
    use super::*;
    use pipeline_kernels::Element as _;

    use crate::backend::cpu::planes;
    use crate::pass::Images;

    /// The CPU through burn's tensors, and wgpu if this build and this machine have it.
    fn devices() -> Vec<Device> {
        let opened = ["cpu", "wgpu"].map(|name| crate::device::open(name).map_err(|error| eprintln!("skipped: {error}")));
        opened.into_iter().flatten().map(|opened| opened.device).collect()
    }

    /// Every byte value in every channel and at every position within an integer; 3 x 5 x 7 leaves the last integer incomplete.
    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at * 7 + at / 256) as u8).collect()
    }

    #[test]
    fn images_unpacked_on_a_device_are_the_hosts_to_the_last_bit() {
        let normalization = Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
        for (batch, height, width) in [(2, 32, 48), (3, 5, 7), (1, 1, 1)] {
            let area = Area { batch, height, width };
            let pixels = bytes(area.values(3));
            for device in devices() {
                for precision in Precision::ALL {
                    if !device.supports_dtype(precision.dtype()) {
                        continue;
                    }
                    let there = images(&pixels, &normalization, area, precision, &device);
                    assert_eq!(there.dims(), [batch, 3, height, width]);
                    let there = wide(there).try_into_vec_as::<f32>().expect("float32");
                    #[allow(clippy::useless_conversion, reason = "float32 is one of the types")]
                    let here = with!(precision, E => {
                        let planes = planes::<E>(Images::Pixels(&pixels, &normalization), area);
                        let mut wide = vec![0.0; pixels.len()];
                        E::widen(&planes.expect("sizes that fit"), &mut wide);
                        wide
                    });
                    let differ = here.iter().zip(&there).filter(|(here, there)| here.to_bits() != there.to_bits()).count();
                    assert_eq!((here.len(), differ), (there.len(), 0), "{device:?}, {precision:?}, {area:?}");
                }
            }
        }
    }

    #[test]
    fn masks_are_1_where_a_byte_is_not_0() {
        let values = [0, 1, 2, 127, 128, 255, 0, 200, 3];
        for device in devices() {
            let there = masks(&values, &device).try_into_vec_as::<f32>().expect("float32");
            assert_eq!(there, [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0], "{device:?}");
        }
    }
}
