//! The convolution, with our kernels.

use std::ops::Range;

use pipeline_kernels as kernels;
use pipeline_kernels::Area;

use super::core::{Cpu, views};
use super::costs::{self, CpuCosts};
use super::values::{Store as _, Values, with, zeros};
use crate::backend::counting::Costs as _;
use crate::layer::{Convolution, ConvolutionBackend, ConvolutionCall};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

impl ConvolutionBackend for Cpu<'_> {
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], area: Area) -> Tried<Values> {
        let shape = layer.shape(area);
        let mut space = zeros(costs::convolution(ConvolutionCall::Forward { shape }))?;
        let bias = layer.bias.map(|bias| self.weight(bias, <[f32]>::to_vec)).transpose()?;
        Ok(with!(self.precision, E => {
            let mut out = zeros(layer.geometry.output(area).values(layer.outputs))?;
            let views = views::<E>(inputs);
            self.weight(layer.weight, |weight| {
                kernels::convolve(shape, &views, weight, bias.as_deref(), layer.activation, &mut out, &mut space);
            })?;
            E::wrap(out)
        }))
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Values>) -> Tried<()> {
        let shape = layer.shape(inputs[0].map.area);
        let mut space = zeros(costs::convolution(ConvolutionCall::Weight { shape }))?;
        with!(self.precision, E => {
            let (views, upstream) = (views::<E>(inputs), E::of(&upstream.data));
            self.gradient(layer.weight, |gradient| {
                kernels::convolve_weight_gradient(shape, &views, upstream, gradient, &mut space);
            })?;
        });
        let Some(bias) = layer.bias else { return Ok(()) };
        with!(self.precision, E => {
            let (area, upstream) = (upstream.area, E::of(&upstream.data));
            self.gradient(bias, |gradient| kernels::channel_sums(upstream, layer.outputs, area, gradient))?;
        });
        Ok(())
    }

    fn convolve_input(
        &mut self,
        layer: &Convolution,
        upstream: &Map<Values>,
        wanted: Range<usize>,
        area: Area,
    ) -> Tried<Values> {
        let shape = layer.shape(area);
        let mut space = zeros(costs::convolution(ConvolutionCall::Input { shape, wanted: wanted.len() }))?;
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(wanted.len()))?;
            let upstream = E::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::convolve_input_gradient(shape, upstream, weight, wanted, &mut out, &mut space);
            })?;
            E::wrap(out)
        }))
    }

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch {
        CpuCosts.convolution(self.precision, call)
    }
}
