//! The convolution by our kernels.

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
        let outputs = layer.outputs;
        let call = ConvolutionCall::Forward { inputs: layer.inputs, outputs, area, parts: inputs.len(), normed: 0 };
        let mut space = zeros(costs::convolution(call))?;
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(outputs))?;
            let views = views::<E>(inputs);
            self.weight(layer.weight, |weight| kernels::convolve(&views, weight, outputs, area, &mut out, &mut space))?;
            E::wrap(out)
        }))
    }

    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Values>) -> Tried<()> {
        let (area, outputs) = (upstream.area, layer.outputs);
        let mut space = zeros(costs::convolution(ConvolutionCall::Weight { inputs: layer.inputs, outputs, area }))?;
        with!(self.precision, E => {
            let (views, upstream) = (views::<E>(inputs), E::of(&upstream.data));
            self.gradient(layer.weight, |gradient| {
                kernels::convolve_weight_gradient(&views, upstream, outputs, area, gradient, &mut space);
            })?;
        });
        Ok(())
    }

    fn convolve_input(&mut self, layer: &Convolution, upstream: &Map<Values>, wanted: Range<usize>) -> Tried<Values> {
        let (area, &Convolution { inputs, outputs, .. }) = (upstream.area, layer);
        let mut space = zeros(costs::convolution(ConvolutionCall::Input { wanted: wanted.len(), outputs, area }))?;
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(wanted.len()))?;
            let upstream = E::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::convolve_input_gradient(upstream, weight, outputs, inputs, wanted, area, &mut out, &mut space);
            })?;
            E::wrap(out)
        }))
    }

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch {
        CpuCosts.convolution(self.precision, call)
    }
}
