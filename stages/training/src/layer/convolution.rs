//! The convolution (torch.nn.Conv2d): 1x1, 2x2 or 3x3, optionally with stride 2 or dilation 2, with or without bias. Several
//! inputs are concatenated along channels without being copied; an activation is applied to the output before it is stored.

use std::ops::Range;

use pipeline_kernels::{Activation, Area, ConvolutionShape, Geometry};

use super::activation::{ActivationBackend, before};
use super::differentiable::{Differentiable, Keeps, Rules, Wanted, missing};
use crate::memory::Tried;
use crate::parameters::{Init, Layout};
use crate::pass::{Cost, Executor, Input, Made, Map, Scratch, Shape, Work};

/// A convolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Convolution {
    /// Slot of the weight `[outputs, inputs, size, size]`.
    pub weight: usize,
    /// Slot of the bias, if any.
    pub bias: Option<usize>,
    /// Input channels, over all inputs.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Size, stride and dilation.
    pub geometry: Geometry,
    /// Activation applied to the output.
    pub activation: Activation,
}

impl Convolution {
    /// Declares the tensors of a 3x3 convolution without bias.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        Self::of(layout, name, [inputs, outputs], Geometry::THREE)
    }

    /// Declares the tensors of any convolution without bias. `channels` are the input and output channels.
    pub fn of(layout: &mut Layout, name: &str, channels: [usize; 2], geometry: Geometry) -> Self {
        let [inputs, outputs] = channels;
        let init = Init::Uniform { fan_in: inputs * geometry.taps() };
        let shape = [outputs, inputs, geometry.size, geometry.size];
        let weight = layout.trained(format!("{name}.weight"), &shape, init);
        Self { weight, bias: None, inputs, outputs, geometry, activation: Activation::Identity }
    }

    /// Declares a bias next to the weight, and an activation.
    #[must_use]
    pub fn with_bias(self, layout: &mut Layout, name: &str, activation: Activation) -> Self {
        let init = Init::Uniform { fan_in: self.inputs * self.geometry.taps() };
        let bias = Some(layout.trained(format!("{name}.bias"), &[self.outputs], init));
        Self { bias, activation, ..self }
    }

    /// The shape that the kernels take, for an input of this area.
    pub(crate) fn shape(&self, area: Area) -> ConvolutionShape {
        let &Self { inputs, outputs, geometry, .. } = self;
        ConvolutionShape { geometry, inputs, outputs, area }
    }

    /// Work of a pass that reads or writes maps with this many input and output channels.
    fn work(&self, inputs: usize, area: Area) -> Work {
        let pixels = |area: Area| (area.batch * area.pixels()) as f64;
        let (read, written) = (pixels(area), pixels(self.geometry.output(area)));
        let products = (inputs * self.outputs * self.geometry.taps()) as f64;
        let values = inputs as f64 * read + self.outputs as f64 * written;
        Work { flops: 2.0 * products * written, values, operations: 1 }
    }
}

/// One operation of a convolution, from which a backend computes its cost. Areas are those of the input.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConvolutionCall {
    Forward {
        shape: ConvolutionShape,
    },
    Weight {
        shape: ConvolutionShape,
    },
    /// The gradient of `wanted` of the input channels.
    Input {
        shape: ConvolutionShape,
        wanted: usize,
    },
}

/// What a backend implements for a convolution. Areas are those of the input.
pub(crate) trait ConvolutionBackend: ActivationBackend {
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], area: Area) -> Tried<Self::Data>;

    /// Adds the gradients of weight and bias to the window's sums.
    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Self::Data>) -> Tried<()>;

    /// The gradient of a range of the input channels.
    fn convolve_input(
        &mut self,
        layer: &Convolution,
        upstream: &Map<Self::Data>,
        wanted: Range<usize>,
        area: Area,
    ) -> Tried<Self::Data>;

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch;
}

impl Rules for Convolution {
    fn output(&self, inputs: &[Shape]) -> Shape {
        Shape { channels: self.outputs, area: self.geometry.output(inputs[0].area) }
    }

    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, output: self.activation != Activation::Identity, ..Keeps::default() }
    }
}

impl<B: ConvolutionBackend> Differentiable<B> for Convolution {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let area = inputs[0].map.area;
        e.keep(self.weight, self.inputs * self.outputs * self.geometry.taps())?;
        let call = ConvolutionCall::Forward { shape: self.shape(area) };
        let cost = Cost { scratch: e.backend.convolve_scratch(call), work: self.work(self.inputs, area) };
        e.make(cost, self.output(&[inputs[0].map.shape()]), |b| b.convolve(self, inputs, area))
    }

    fn output_gradient(&self, e: &mut Executor<B>, output: Option<&Map<B::Data>>, upstream: Map<B::Data>) -> Made<B> {
        match self.activation {
            Activation::Identity => Ok(upstream),
            activation => before(activation, e, output.ok_or_else(|| missing("an activation's output"))?, upstream),
        }
    }

    fn parameter_gradients(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], upstream: &Map<B::Data>) -> Tried<()> {
        let area = inputs[0].map.area;
        let call = ConvolutionCall::Weight { shape: self.shape(area) };
        let cost = Cost { scratch: e.backend.convolve_scratch(call), work: self.work(self.inputs, area) };
        e.perform(cost, |b| b.convolve_weight(self, inputs, upstream))
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { channels, shape, upstream, sum, .. } = wanted;
        let (area, count) = (shape.area, channels.len());
        let call = ConvolutionCall::Input { shape: self.shape(area), wanted: count };
        let cost = Cost { scratch: e.backend.convolve_scratch(call), work: self.work(count, area) };
        let gradient = e.make(cost, shape, |b| b.convolve_input(self, upstream.map(), channels, area))?;
        drop(upstream);
        e.add(sum, gradient)
    }
}
