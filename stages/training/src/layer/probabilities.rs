//! Turns logits into probabilities, as a map that further layers read: a sigmoid for one class, a softmax over several.

use super::differentiable::{Differentiable, Keeps, Rules, Wanted, missing};
use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Input, Made, Map, Shape};

/// The probabilities of a head's logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probabilities;

/// What a backend implements for probabilities.
pub(crate) trait ProbabilitiesBackend: Backend {
    /// A map in the precision of the pass, from float32 logits.
    fn probabilities(&mut self, logits: &Map<Self::Data>) -> Tried<Self::Data>;

    /// Adds the gradient of the logits to `sum`, which is float32.
    fn probabilities_input(
        &mut self,
        probabilities: &Map<Self::Data>,
        upstream: &Map<Self::Data>,
        sum: &mut Map<Self::Data>,
    ) -> Tried<()>;
}

impl Rules for Probabilities {
    fn output(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn keeps(&self) -> Keeps {
        Keeps { output: true, ..Keeps::default() }
    }
}

impl<B: ProbabilitiesBackend> Differentiable<B> for Probabilities {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], _: Option<Map<B::Data>>) -> Made<B> {
        let logits = inputs[0].map;
        e.make(Cost::moving(2.0 * logits.shape().values() as f64), logits.shape(), |b| b.probabilities(logits))
    }

    fn parameter_gradients(&self, _: &mut Executor<B>, _: &[Input<'_, B>], _: &Map<B::Data>) -> Tried<()> {
        Ok(())
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, output, upstream, sum, .. } = wanted;
        let output = output.ok_or_else(|| missing("probabilities"))?;
        let mut sum = match sum {
            Some(sum) => sum,
            None => e.zeros_wide(shape)?,
        };
        let cost = Cost::moving(4.0 * shape.values() as f64);
        e.perform(cost, |b| b.probabilities_input(output, upstream.map(), &mut sum))?;
        Ok(sum)
    }
}
