//! The convolution.

use std::ops::Range;

use burn::tensor::Tensor;
use pipeline_contract::StageError;
use pipeline_kernels::{Activation, Area};

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::kernels::{self, Read};
use super::norm::slope;
use crate::backend::counting::Costs as _;
use crate::layer::{Convolution, ConvolutionBackend, ConvolutionCall};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

fn shape(layer: &Convolution) -> [usize; 4] {
    let size = layer.geometry.size;
    [layer.outputs, layer.inputs, size, size]
}

impl ConvolutionBackend for Graphics<'_> {
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], _: Area) -> Tried<Tensor<4>> {
        let convolution = kernels::Convolution {
            inputs: inputs.iter().map(|input| self.read(input)).collect(),
            weight: self.kernel(layer.weight, shape(layer)),
            geometry: layer.geometry,
            bias: layer.bias.map(|bias| self.weight(bias, [layer.outputs])),
            slope: slope(layer.activation),
            // A convolution without a bias is read through a norm.
            sums: layer.bias.is_none() && layer.activation == Activation::Identity,
        };
        let (map, partial) = kernels::convolve(&self.chip()?, &mut self.packs, convolution)?;
        self.partial = partial.map(|partial| Ok::<_, StageError>((kernels::memory(&map)?, partial))).transpose()?;
        Ok(map)
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Tensor<4>>) -> Tried<()> {
        let upstream = upstream.data.clone();
        if let Some(bias) = layer.bias {
            kernels::bias(upstream.clone(), self.sum(bias)?)?;
        }
        let inputs = inputs.iter().map(|input| self.read(input)).collect();
        let sum = self.sum(layer.weight)?;
        Ok(kernels::convolve_weight(&self.chip()?, inputs, Read::Plain(upstream), layer.geometry, sum)?)
    }

    fn convolve_input(
        &mut self,
        layer: &Convolution,
        upstream: &Map<Tensor<4>>,
        wanted: Range<usize>,
        area: Area,
    ) -> Tried<Tensor<4>> {
        let (upstream, weight) = (upstream.data.clone(), self.kernel(layer.weight, shape(layer)));
        let (chip, wanted) = (self.chip()?, kernels::Wanted { channels: wanted, area });
        Ok(kernels::convolve_input(&chip, &mut self.packs, upstream, weight, layer.geometry, wanted)?)
    }

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch {
        GraphicsCosts.convolution(self.precision, call)
    }
}
