//! The mean of the logits of several heads, float32.

use super::differentiable::{Differentiable, Keeps, Rules, Wanted};
use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Shape};

/// The mean of its inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeanLogits {
    /// Number of inputs.
    pub count: usize,
}

/// What a backend implements for the mean.
pub(crate) trait MeanBackend: Backend {
    /// `factor` times the sum of float32 maps.
    fn scaled_sum(&mut self, maps: &[&Map<Self::Data>], factor: f32) -> Tried<Self::Data>;
}

impl Rules for MeanLogits {
    fn output(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn keeps(&self) -> Keeps {
        Keeps::default()
    }
}

impl MeanLogits {
    fn factor(&self) -> f32 {
        1.0 / self.count.max(1) as f32
    }
}

impl<B: MeanBackend> Differentiable<B> for MeanLogits {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let maps: Vec<_> = inputs.iter().map(|input| input.map).collect();
        let shape = maps[0].shape();
        let cost = Cost::moving((maps.len() + 1) as f64 * shape.values() as f64);
        e.make_wide(cost, shape, |b| b.scaled_sum(&maps, self.factor()))
    }

    fn parameter_gradients(&self, _: &mut Executor<B>, _: &[Input<'_, B>], _: &Map<B::Data>) -> Tried<()> {
        Ok(())
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, upstream, sum, .. } = wanted;
        let cost = Cost::moving(2.0 * shape.values() as f64);
        let gradient = e.make_wide(cost, shape, |b| b.scaled_sum(&[upstream.map()], self.factor()))?;
        drop(upstream);
        e.add(sum, gradient)
    }
}
