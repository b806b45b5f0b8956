//! From a batch of 8-bit pixels to tensors on a device: the one place where pixels become floats.
//! Normalisation was chosen by the image stages; here it is applied.

use burn::tensor::{Device, Tensor};
use pipeline_contract::{Result, StageError};
use pipeline_images::Batch;

use crate::network::upload;

/// Images `[batch, 3, height, width]`, `(pixel / 255 - mean) / std`, and masks `[batch, 1, height, width]`, 0 or 1.
///
/// # Errors
/// When the buffers are not of the size that the batch says: a bug of the stage that made it.
pub fn tensors(batch: &Batch, device: &Device) -> Result<(Tensor<4>, Tensor<4>)> {
    let Batch { height, width, images, masks, normalization, samples } = batch;
    let (count, area) = (samples.len(), height * width);
    if images.len() != count * area * 3 || masks.len() != count * area || count == 0 {
        return Err(StageError::new(format!("a batch of {count} images of {height} x {width} doesn't hold as many pixels")));
    }
    // One table a channel: 256 values instead of a division per pixel, and each exactly as in the formula.
    let table = |channel: usize| -> Vec<f32> {
        let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
        (0..=255u8).map(|pixel| (f32::from(pixel) / 255.0 - mean) / std).collect()
    };
    let tables = [table(0), table(1), table(2)];
    let mut planes = Vec::with_capacity(images.len());
    for image in images.chunks_exact(area * 3) {
        for (channel, table) in tables.iter().enumerate() {
            planes.extend(image.as_chunks::<3>().0.iter().map(|pixel| table[usize::from(pixel[channel])]));
        }
    }
    let masks = masks.iter().map(|&mask| if mask != 0 { 1.0 } else { 0.0 }).collect();
    let (height, width) = (*height, *width);
    Ok((upload(planes, device).reshape([count, 3, height, width]), upload(masks, device).reshape([count, 1, height, width])))
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use pipeline_images::Normalization;

    fn cpu() -> Device {
        crate::device::open("cpu").expect("the CPU").device
    }

    #[test]
    fn pixels_become_planes_of_normalised_floats() {
        let batch = Batch {
            samples: vec!["a".into()],
            height: 1,
            width: 2,
            images: vec![0, 51, 102, 255, 204, 153],
            masks: vec![0, 1],
            normalization: Normalization { mean: [0.0, 0.2, 0.0], std: [1.0, 0.5, 2.0] },
        };
        let (images, masks) = tensors(&batch, &cpu()).expect("the sizes fit");
        let images: Vec<f32> = images.try_into_vec_as().expect("on the CPU");
        let expected = [0.0, 1.0, 0.0, 1.2, 0.2, 0.3];
        assert!(images.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{images:?}");
        assert_eq!(masks.try_into_vec_as::<f32>().expect("on the CPU"), [0.0, 1.0]);
        assert!(tensors(&Batch { height: 3, ..batch }, &cpu()).is_err());
    }
}
