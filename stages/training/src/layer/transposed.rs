//! The 2x2 transposed convolution with stride 2, with or without bias (torch.nn.ConvTranspose2d), which doubles height and width.

use pipeline_kernels::Area;

use super::differentiable::{Differentiable, Keeps, Rules, Wanted};
use crate::memory::Tried;
use crate::parameters::{Init, Layout};
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Scratch, Shape, Work};

/// A 2x2 transposed convolution with stride 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransposedConvolution {
    /// Slot of the weight `[inputs, outputs, 2, 2]`.
    pub weight: usize,
    /// Slot of the bias, if any.
    pub bias: Option<usize>,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

impl TransposedConvolution {
    /// Declares the tensors.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let layer = Self::without_bias(layout, name, inputs, outputs);
        let bias = layout.trained(format!("{name}.bias"), &[outputs], Self::init(outputs));
        Self { bias: Some(bias), ..layer }
    }

    /// Declares the weight alone.
    pub fn without_bias(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let weight = layout.trained(format!("{name}.weight"), &[inputs, outputs, 2, 2], Self::init(outputs));
        Self { weight, bias: None, inputs, outputs }
    }

    /// PyTorch takes the fan-in of a transposed convolution from its second dimension, the outputs.
    fn init(outputs: usize) -> Init {
        Init::Uniform { fan_in: outputs * 4 }
    }

    fn cost(&self, scratch: Scratch, area: Area) -> Cost {
        let (&Self { inputs, outputs, .. }, pixels) = (self, (area.batch * area.pixels()) as f64);
        let flops = 2.0 * (inputs * outputs * 4) as f64 * pixels;
        Cost { scratch, work: Work { flops, values: (inputs + 4 * outputs) as f64 * pixels, operations: 1 } }
    }
}

/// One operation of a transposed convolution, from which a backend computes its cost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TransposedCall {
    Forward,
    Weight,
    Input,
}

/// What a backend implements for a transposed convolution. Areas are those of the (small) input.
pub(crate) trait TransposedBackend: Backend {
    fn upsample(&mut self, layer: &TransposedConvolution, input: Input<'_, Self>) -> Tried<Self::Data>;

    /// Adds the gradients of weight and bias to the window's sums.
    fn upsample_weight(
        &mut self,
        layer: &TransposedConvolution,
        input: Input<'_, Self>,
        upstream: &Map<Self::Data>,
    ) -> Tried<()>;

    fn upsample_input(&mut self, layer: &TransposedConvolution, upstream: &Map<Self::Data>) -> Tried<Self::Data>;

    fn upsample_scratch(&self, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch;
}

impl Rules for TransposedConvolution {
    fn output(&self, inputs: &[Shape]) -> Shape {
        let area = inputs[0].area;
        Shape { channels: self.outputs, area: Area { height: area.height * 2, width: area.width * 2, ..area } }
    }

    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, ..Keeps::default() }
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

impl<B: TransposedBackend> Differentiable<B> for TransposedConvolution {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let input = inputs[0].map.shape();
        e.keep(self.weight, 4 * self.inputs * self.outputs)?;
        let cost = self.cost(e.backend.upsample_scratch(TransposedCall::Forward, self, input.area), input.area);
        e.make(cost, self.output(&[input]), |b| b.upsample(self, inputs[0]))
    }

    fn parameter_gradients(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], upstream: &Map<B::Data>) -> Tried<()> {
        let area = inputs[0].map.area;
        let cost = self.cost(e.backend.upsample_scratch(TransposedCall::Weight, self, area), area);
        e.perform(cost, |b| b.upsample_weight(self, inputs[0], upstream))
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, upstream, sum, .. } = wanted;
        let cost = self.cost(e.backend.upsample_scratch(TransposedCall::Input, self, shape.area), shape.area);
        let gradient = e.make(cost, shape, |b| b.upsample_input(self, upstream.map()))?;
        drop(upstream);
        e.add(sum, gradient)
    }
}
