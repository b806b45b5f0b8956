//! The results of a norm on a graphics device.

use burn::tensor::Tensor;

use super::kernels::Normed;

/// What readers and the backward pass need from a norm.
#[derive(Debug, Clone)]
pub(crate) struct Statistics {
    pub parts: Vec<Part>,
    /// One over the standard deviation `[batch, channels]`, for all inputs together.
    pub inverse: Tensor<2>,
    /// Slope of the activation below zero.
    pub slope: f32,
}

/// The values for one input: mean and inverse deviation `[batch, channels]`, scale and shift `[channels]`.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub mean: Tensor<2>,
    pub inverse: Tensor<2>,
    pub scale: Tensor<1>,
    pub shift: Tensor<1>,
}

impl Statistics {
    pub(super) fn normed(&self, part: usize, map: &Tensor<4>) -> Normed {
        let Part { mean, inverse, scale, shift } = self.parts[part].clone();
        Normed { map: map.clone(), mean, inverse, scale, shift, slope: self.slope }
    }

    /// The factors and offsets that norm each part, `[batch, channels]` each.
    pub(super) fn affine(&self) -> Vec<Tensor<2>> {
        let of = |part: &Part| {
            let scale = part.scale.clone().unsqueeze::<2>() * part.inverse.clone();
            let shift = part.shift.clone().unsqueeze::<2>() - part.mean.clone() * scale.clone();
            [scale, shift]
        };
        self.parts.iter().flat_map(of).collect()
    }
}
