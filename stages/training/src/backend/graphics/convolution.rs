//! The convolution: our own kernels on matrix units where the device has them for the maps' type; elsewhere burn's direct kernels
//! for the map and the input gradient, and matrix products for the weight gradient.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, PadMode};
use pipeline_contract::StageError;
use pipeline_kernels::{Activation, Area, Geometry};

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::kernels::Read;
use super::norm::slope;
use super::tensors::{activate, rows, wide};
use super::{half, kernels};
use crate::backend::counting::Costs as _;
use crate::layer::{Convolution, ConvolutionBackend, ConvolutionCall};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

/// What each output of a convolution reads from a map at one tap: `[batch, channels, height / stride, width / stride]`. `padded`
/// is the map with the convolution's zeros around it.
fn tap(padded: &Tensor<4>, geometry: Geometry, at: usize, area: Area) -> Tensor<4> {
    let Area { batch, height, width } = area;
    let Geometry { size, stride, dilation } = geometry;
    let [_, channels, ..] = padded.dims();
    let (y, x) = (at / size * dilation, at % size * dilation);
    let part = padded.clone().slice([0..batch, 0..channels, y..y + height, x..x + width]);
    if stride == 1 {
        return part;
    }
    let (rows, columns) = (height / stride, width / stride);
    let phases = part.reshape([batch * channels, rows, stride, columns, stride]);
    let first = phases.slice([0..batch * channels, 0..rows, 0..1, 0..columns, 0..1]);
    first.reshape([batch, channels, rows, columns])
}

impl Graphics<'_> {
    /// A convolution with weights in float32.
    fn convolved(&self, input: Tensor<4>, weight: Tensor<4>, geometry: Geometry) -> Tensor<4> {
        let Geometry { stride, dilation, .. } = geometry;
        let options = ConvOptions::new([stride; 2], [geometry.padding(); 2], [dilation; 2], 1);
        match self.only_stores_half() {
            true if geometry == Geometry::THREE => half::convolve(input, weight),
            true => conv2d(wide(input), weight, None, options).cast(self.precision.dtype()),
            false => conv2d(input, self.narrow(weight), None, options),
        }
    }
}

impl ConvolutionBackend for Graphics<'_> {
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], _: Area) -> Tried<Tensor<4>> {
        let size = layer.geometry.size;
        if let Some(chip) = self.chip()? {
            let made = kernels::convolve(
                &chip,
                kernels::Convolution {
                    inputs: inputs.iter().map(|input| self.read(input)).collect(),
                    weight: self.weight(layer.weight, [layer.outputs, layer.inputs, size, size]),
                    geometry: layer.geometry,
                    bias: layer.bias.map(|bias| self.weight(bias, [layer.outputs])),
                    slope: slope(layer.activation),
                    // A convolution without a bias is read through a norm.
                    sums: layer.bias.is_none() && layer.activation == Activation::Identity,
                },
            )?;
            let (map, partial) = made;
            self.partial = partial.map(|partial| Ok::<_, StageError>((kernels::memory(&map)?, partial))).transpose()?;
            return Ok(map);
        }
        let weight = self.weight(layer.weight, [layer.outputs, layer.inputs, size, size]);
        // The contributions of several inputs are added up: concatenated, the inputs would be the largest map of all, twice as
        // large as any other.
        let (mut sum, mut before) = (None, 0);
        for input in inputs {
            let channels = input.map.channels;
            let weight = weight.clone().narrow(1, before, channels);
            before += channels;
            let made = self.convolved(self.activated(self.read(input))?, weight, layer.geometry);
            sum = Some(match sum.take() {
                Some(sum) => sum + made,
                None => made,
            });
        }
        let mut made: Tensor<4> = sum.ok_or_else(|| StageError::new("a convolution without inputs"))?;
        if let Some(bias) = layer.bias {
            made = made + self.narrow(self.weight(bias, [1, layer.outputs, 1, 1]));
        }
        Ok(activate(made, layer.activation))
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Tensor<4>>) -> Tried<()> {
        let (geometry, upstream) = (layer.geometry, upstream.data.clone());
        if let Some(bias) = layer.bias {
            self.gather(bias, kernels::upsample_bias(upstream.clone())?)?;
        }
        if let Some(chip) = self.chip()? {
            let inputs = inputs.iter().map(|input| self.read(input)).collect();
            let sum = self.sum(layer.weight)?;
            return Ok(kernels::convolve_weight(&chip, inputs, Read::Plain(upstream), geometry, sum)?);
        }
        if geometry == Geometry::THREE {
            let inputs = inputs.iter().map(|input| self.read(input)).collect();
            return self.gather(layer.weight, kernels::convolve_weight_by_products(inputs, upstream)?);
        }
        // One matrix product over pixels for each tap and input, in float32.
        let (pixels, p, mut parts) = (rows(upstream), geometry.padding(), Vec::new());
        for input in inputs {
            let x = self.activated(self.read(input))?;
            // The pixels that a stride skips after the last tap are sliced along with it.
            let far = p.max(geometry.size - 1);
            let padded = if far > 0 { x.pad((p, far, p, far), PadMode::Constant(0.0)) } else { x };
            let mut taps = Vec::new();
            for at in 0..geometry.taps() {
                let read = tap(&padded, geometry, at, input.map.area);
                let gradient = kernels::upsample_weight(read, pixels.clone())?;
                taps.push(gradient.transpose().unsqueeze_dim::<3>(2));
            }
            parts.push(Tensor::cat(taps, 2));
        }
        self.gather(layer.weight, Tensor::cat(parts, 1))
    }

    fn convolve_input(
        &mut self,
        layer: &Convolution,
        upstream: &Map<Tensor<4>>,
        wanted: Range<usize>,
        area: Area,
    ) -> Tried<Tensor<4>> {
        let geometry = layer.geometry;
        let Geometry { size, stride, dilation } = geometry;
        let weight = self.weight(layer.weight, [layer.outputs, layer.inputs, size, size]);
        if let (Some(chip), 1) = (self.chip()?, stride) {
            return Ok(kernels::convolve_input(&chip, upstream.data.clone(), weight, geometry, wanted)?);
        }
        let weight = weight.narrow(1, wanted.start, wanted.len());
        if geometry == Geometry::THREE {
            // A convolution with the kernel rotated by 180 degrees and transposed.
            let weight = weight.swap_dims(0, 1).flip([2, 3]);
            return Ok(self.convolved(upstream.data.clone(), weight, geometry));
        }
        let p = geometry.padding();
        let reached = |length: usize| (length / stride - 1) * stride + dilation * (size - 1) + 1 - 2 * p;
        let more = [area.height - reached(area.height), area.width - reached(area.width)];
        let options = ConvTransposeOptions::new([stride; 2], [p; 2], more, [dilation; 2], 1);
        let upstream = upstream.data.clone();
        Ok(match self.only_stores_half() {
            true => conv_transpose2d(wide(upstream), weight, None, options).cast(self.precision.dtype()),
            false => conv_transpose2d(upstream, self.narrow(weight), None, options),
        })
    }

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch {
        GraphicsCosts.convolution(self.precision, call)
    }
}
