//! The 3x3 convolution without bias, stride 1, padding 1 (torch.nn.Conv2d). Several inputs are concatenated along channels without
//! being copied.

use std::ops::Range;

use pipeline_kernels::Area;

use super::differentiable::{Differentiable, Keeps, Rules, Wanted};
use crate::memory::Tried;
use crate::parameters::{Init, Layout};
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Scratch, Shape, Work};

/// A 3x3 convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Slot of the weight `[outputs, inputs, 3, 3]`.
    pub weight: usize,
    /// Channels in, over all inputs.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
}

impl Convolution {
    /// Declares the tensors.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform { fan_in: inputs * 9 };
        Self { weight: layout.trained(format!("{name}.weight"), &[outputs, inputs, 3, 3], init), inputs, outputs }
    }

    /// Work of a pass over so many channels in and out that reads and writes maps of both.
    fn work(inputs: usize, outputs: usize, area: Area) -> Work {
        let pixels = (area.batch * area.pixels()) as f64;
        Work { flops: 2.0 * (inputs * outputs * 9) as f64 * pixels, values: (inputs + outputs) as f64 * pixels, operations: 1 }
    }
}

/// One call of a convolution's arithmetic, by which a backend tells its cost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConvolutionCall {
    /// `parts` inputs; `normed`: the channels of the widest of them that is read through a norm.
    Forward {
        inputs: usize,
        outputs: usize,
        area: Area,
        parts: usize,
        normed: usize,
    },
    Weight {
        inputs: usize,
        outputs: usize,
        area: Area,
    },
    /// The gradient of `wanted` of the input channels.
    Input {
        wanted: usize,
        outputs: usize,
        area: Area,
    },
}

/// What a backend does for a convolution. Areas are those of the input.
pub(crate) trait ConvolutionBackend: Backend {
    fn convolve(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], area: Area) -> Tried<Self::Data>;

    /// Adds the gradient of the weight to the window's sum.
    fn convolve_weight(&mut self, layer: &Convolution, inputs: &[Input<'_, Self>], upstream: &Map<Self::Data>) -> Tried<()>;

    /// The gradient of a range of the input channels.
    fn convolve_input(&mut self, layer: &Convolution, upstream: &Map<Self::Data>, wanted: Range<usize>) -> Tried<Self::Data>;

    fn convolve_scratch(&self, call: ConvolutionCall) -> Scratch;
}

impl Rules for Convolution {
    fn output(&self, inputs: &[Shape]) -> Shape {
        Shape { channels: self.outputs, area: inputs[0].area }
    }

    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, ..Keeps::default() }
    }
}

impl<B: ConvolutionBackend> Differentiable<B> for Convolution {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>]) -> Made<B> {
        let (&Self { inputs: count, outputs, .. }, area) = (self, inputs[0].map.area);
        let normed = inputs.iter().filter(|input| input.through.is_some());
        let normed = normed.map(|input| input.map.channels).max().unwrap_or(0);
        let call = ConvolutionCall::Forward { inputs: count, outputs, area, parts: inputs.len(), normed };
        let cost = Cost { scratch: e.backend.convolve_scratch(call), work: Self::work(count, outputs, area) };
        e.make(cost, Shape { channels: outputs, area }, |b| b.convolve(self, inputs, area))
    }

    fn parameter_gradients(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], upstream: &Map<B::Data>) -> Tried<()> {
        let (&Self { inputs: count, outputs, .. }, area) = (self, inputs[0].map.area);
        let call = ConvolutionCall::Weight { inputs: count, outputs, area };
        let cost = Cost { scratch: e.backend.convolve_scratch(call), work: Self::work(count, outputs, area) };
        e.perform(cost, |b| b.convolve_weight(self, inputs, upstream))
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { channels, shape, upstream, sum, .. } = wanted;
        let (outputs, area) = (self.outputs, shape.area);
        let call = ConvolutionCall::Input { wanted: channels.len(), outputs, area };
        let cost = Cost { scratch: e.backend.convolve_scratch(call), work: Self::work(channels.len(), outputs, area) };
        let gradient = e.make(cost, shape, |b| b.convolve_input(self, upstream.map(), channels))?;
        drop(upstream);
        e.add(sum, gradient)
    }
}
