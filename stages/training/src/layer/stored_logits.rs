//! Logits as a map that further layers read: rounded to the precision of the pass.

use super::differentiable::{Differentiable, Keeps, Rules, Wanted};
use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Shape};

/// The logits of a head, stored in the type of the maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredLogits;

/// What a backend implements for stored logits.
pub(crate) trait StoredLogitsBackend: Backend {
    /// A map in the precision of the pass, from float32 logits.
    fn stored(&mut self, logits: &Map<Self::Data>) -> Tried<Self::Data>;

    /// Adds the gradient of the logits to `sum`, which is float32.
    fn stored_input(&mut self, upstream: &Map<Self::Data>, sum: &mut Map<Self::Data>) -> Tried<()>;
}

impl Rules for StoredLogits {
    fn output(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn keeps(&self) -> Keeps {
        Keeps::default()
    }
}

impl<B: StoredLogitsBackend> Differentiable<B> for StoredLogits {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let logits = inputs[0].map;
        e.make(Cost::moving(2.0 * logits.shape().values() as f64), logits.shape(), |b| b.stored(logits))
    }

    fn parameter_gradients(&self, _: &mut Executor<B>, _: &[Input<'_, B>], _: &Map<B::Data>) -> Tried<()> {
        Ok(())
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, upstream, sum, .. } = wanted;
        let mut sum = match sum {
            Some(sum) => sum,
            None => e.zeros_wide(shape)?,
        };
        e.perform(Cost::moving(3.0 * shape.values() as f64), |b| b.stored_input(upstream.map(), &mut sum))?;
        Ok(sum)
    }
}
