//! 2x2 max pooling with stride 2 (torch.nn.MaxPool2d(2)): a gradient goes to the first maximum of its window.

use pipeline_kernels::Area;

use super::differentiable::{Differentiable, Keeps, Rules, Wanted, missing};
use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Shape};

/// 2x2 max pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxPool;

/// What a backend implements for max pooling.
pub(crate) trait MaxPoolBackend: Backend {
    fn pool(&mut self, input: Input<'_, Self>) -> Tried<Self::Data>;

    /// Adds the gradient of the input to `sum`.
    fn pool_input(&mut self, input: Input<'_, Self>, upstream: &Map<Self::Data>, sum: &mut Map<Self::Data>) -> Tried<()>;
}

impl Rules for MaxPool {
    fn output(&self, inputs: &[Shape]) -> Shape {
        let Shape { channels, area } = inputs[0];
        Shape { channels, area: Area { height: area.height / 2, width: area.width / 2, ..area } }
    }

    fn keeps(&self) -> Keeps {
        Keeps { inputs_for_gradient: true, ..Keeps::default() }
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

impl<B: MaxPoolBackend> Differentiable<B> for MaxPool {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let input = inputs[0].map.shape();
        e.make(Cost::moving(1.25 * input.values() as f64), self.output(&[input]), |b| b.pool(inputs[0]))
    }

    fn parameter_gradients(&self, _: &mut Executor<B>, _: &[Input<'_, B>], _: &Map<B::Data>) -> Tried<()> {
        Ok(())
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, input, upstream, sum, .. } = wanted;
        let input = input.ok_or_else(|| missing("the input of a pooling"))?;
        let mut sum = match sum {
            Some(sum) => sum,
            None => e.zeros(shape)?,
        };
        let cost = Cost::moving(3.25 * shape.values() as f64);
        e.perform(cost, |b| b.pool_input(input, upstream.map(), &mut sum))?;
        Ok(sum)
    }
}
