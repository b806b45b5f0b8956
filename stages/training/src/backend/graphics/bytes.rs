//! 8-bit images and masks on their way to a device, where they are looked up in tables.

use burn::tensor::{DType, Device, Tensor, TensorData};
use pipeline_contract::Result;
use pipeline_images::Normalization;
use pipeline_kernels::Area;

use super::kernels;
use super::tensors::wide;
use crate::backend::cpu::{tables, with};
use crate::backend::work::NORMALIZATION;
use crate::precision::Precision;
use crate::weights;

/// 8-bit images `[batch, height, width, 3]` as `[batch, 3, height, width]` in the given precision. Each pixel is looked up in the
/// table that the CPU's kernels use, so the values match the CPU's to the last bit, however a device divides and rounds.
///
/// # Errors
/// When the device isn't a graphics device.
pub(super) fn images(
    pixels: &[u8],
    normalization: &Normalization,
    area: Area,
    precision: Precision,
    device: &Device,
) -> Result<Tensor<4>> {
    let Area { batch, height, width } = area;
    let table: Tensor<1> = with!(precision, E => {
        let table = TensorData::new(tables::<E>(normalization).concat(), [3 * 256]);
        Tensor::from_data(table, (device, precision.dtype()))
    });
    Ok(kernels::lookup(pixels, table)?.reshape([batch, height, width, 3]).permute([0, 3, 1, 2]))
}

/// Masks as float32 shares: 255 is 1.
///
/// # Errors
/// When the device isn't a graphics device.
pub(super) fn masks(masks: &[u8], device: &Device) -> Result<Tensor<1>> {
    let table: Vec<f32> = (0..=255u8).map(|share| f32::from(share) / 255.0).collect();
    kernels::lookup(masks, Tensor::from_data(TensorData::new(table, [256]), (device, DType::F32)))
}

/// Every 8-bit value of every channel, converted to a float of the given precision on the device; returned as float32,
/// `[3, 256]`.
///
/// # Errors
/// What the device reports.
pub(super) fn every_pixel(device: &Device, precision: Precision) -> Result<Vec<f32>> {
    let pixels: Vec<u8> = (0..=255).flat_map(|pixel| [pixel; 3]).collect();
    let area = Area { batch: 1, height: 16, width: 16 };
    let made = wide(images(&pixels, &NORMALIZATION, area, precision, device)?).reshape([3 * 256]);
    weights::values(&made)
}

#[cfg(test)]
#[expect(clippy::expect_used, clippy::print_stderr, reason = "tests may panic and talk")]
mod tests {
    use super::*;
    use pipeline_kernels::Element as _;

    use crate::backend::cpu::planes;
    use crate::pass::Images;

    /// wgpu, if this build and this machine have it.
    fn device() -> Option<Device> {
        let opened = crate::device::open("wgpu").map_err(|error| eprintln!("skipped: {error}"));
        opened.ok().map(|opened| opened.device)
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
            if let Some(device) = device() {
                for precision in Precision::ALL {
                    if !device.supports_dtype(precision.dtype()) {
                        continue;
                    }
                    let there = images(&pixels, &normalization, area, precision, &device).expect("a device");
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
    fn masks_are_shares() {
        let values = [0u8, 1, 2, 127, 128, 255, 0, 200, 3];
        if let Some(device) = device() {
            let there = masks(&values, &device).expect("a device").try_into_vec_as::<f32>().expect("float32");
            assert_eq!(there, values.map(|share| f32::from(share) / 255.0), "{device:?}");
        }
    }
}
