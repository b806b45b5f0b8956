//! The 1x1 convolution with bias that turns features into logits, which are float32 whatever type maps are stored in.

use pipeline_kernels::Area;

use super::differentiable::{Differentiable, Keeps, Rules, Wanted};
use crate::memory::Tried;
use crate::parameters::{Init, Layout};
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Scratch, Shape, Work};

/// A 1x1 convolution to logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Slot of the weight `[outputs, inputs, 1, 1]`.
    pub weight: usize,
    /// Slot of the bias.
    pub bias: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
}

impl Head {
    /// Declares the tensors.
    pub fn new(layout: &mut Layout, name: &str, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform { fan_in: inputs };
        Self {
            weight: layout.trained(format!("{name}.weight"), &[outputs, inputs, 1, 1], init),
            bias: layout.trained(format!("{name}.bias"), &[outputs], init),
            inputs,
            outputs,
        }
    }

    fn cost(&self, area: Area) -> Cost {
        let (&Self { inputs, outputs, .. }, pixels) = (self, (area.batch * area.pixels()) as f64);
        let flops = 2.0 * (inputs * outputs) as f64 * pixels;
        let work = Work { flops, values: (inputs + outputs) as f64 * pixels, operations: 1 };
        Cost { scratch: Scratch::NONE, work }
    }
}

/// What a backend implements for a head.
pub(crate) trait HeadBackend: Backend {
    /// Logits, float32.
    fn head(&mut self, layer: &Head, input: Input<'_, Self>) -> Tried<Self::Data>;

    /// Adds the gradients of weight and bias to the window's sums.
    fn head_weight(&mut self, layer: &Head, input: Input<'_, Self>, upstream: &Map<Self::Data>) -> Tried<()>;

    fn head_input(&mut self, layer: &Head, upstream: &Map<Self::Data>) -> Tried<Self::Data>;
}

impl Rules for Head {
    fn output(&self, inputs: &[Shape]) -> Shape {
        Shape { channels: self.outputs, area: inputs[0].area }
    }

    fn keeps(&self) -> Keeps {
        Keeps { inputs: true, ..Keeps::default() }
    }
}

impl<B: HeadBackend> Differentiable<B> for Head {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let input = inputs[0].map.shape();
        e.make_wide(self.cost(input.area), self.output(&[input]), |b| b.head(self, inputs[0]))
    }

    fn parameter_gradients(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], upstream: &Map<B::Data>) -> Tried<()> {
        e.perform(self.cost(upstream.area), |b| b.head_weight(self, inputs[0], upstream))
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, upstream, sum, .. } = wanted;
        let gradient = e.make(self.cost(shape.area), shape, |b| b.head_input(self, upstream.map()))?;
        drop(upstream);
        e.add(sum, gradient)
    }
}
