//! Nearest-neighbour upsampling to twice the height and width (torch.nn.Upsample(scale_factor=2)).

use pipeline_kernels::Area;

use super::differentiable::{Differentiable, Keeps, Rules, Wanted};
use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Shape};

/// Each pixel becomes 2x2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpsampleNearest;

/// What a backend implements for nearest-neighbour upsampling.
pub(crate) trait NearestBackend: Backend {
    fn nearest(&mut self, input: Input<'_, Self>) -> Tried<Self::Data>;

    /// The gradient of the input, which has the given (small) area: sums over 2x2 pixels.
    fn nearest_input(&mut self, upstream: &Map<Self::Data>, area: Area) -> Tried<Self::Data>;
}

impl Rules for UpsampleNearest {
    fn output(&self, inputs: &[Shape]) -> Shape {
        let Shape { channels, area } = inputs[0];
        Shape { channels, area: Area { height: area.height * 2, width: area.width * 2, ..area } }
    }

    fn keeps(&self) -> Keeps {
        Keeps::default()
    }

    fn is_cheap(&self) -> bool {
        true
    }
}

impl<B: NearestBackend> Differentiable<B> for UpsampleNearest {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let input = inputs[0].map.shape();
        e.make(Cost::moving(5.0 * input.values() as f64), self.output(&[input]), |b| b.nearest(inputs[0]))
    }

    fn parameter_gradients(&self, _: &mut Executor<B>, _: &[Input<'_, B>], _: &Map<B::Data>) -> Tried<()> {
        Ok(())
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, upstream, sum, .. } = wanted;
        let cost = Cost::moving(5.0 * shape.values() as f64);
        let gradient = e.make(cost, shape, |b| b.nearest_input(upstream.map(), shape.area))?;
        drop(upstream);
        e.add(sum, gradient)
    }
}
