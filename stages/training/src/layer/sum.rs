//! The sum of maps of the same shape, with an activation: where residual connections join.

use pipeline_kernels::Activation;

use super::activation::{ActivationBackend, before};
use super::differentiable::{Differentiable, Keeps, Rules, Upstream, Wanted, missing};
use crate::memory::Tried;
use crate::pass::{Cost, Executor, Input, Made, Map, Shape};

/// The sum of its inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum {
    /// Activation applied to the sum.
    pub activation: Activation,
}

/// What a backend implements for a sum.
pub(crate) trait SumBackend: ActivationBackend {
    /// `activation(into + sum of the inputs)`, in place of `into` if given.
    fn sum(
        &mut self,
        inputs: &[Input<'_, Self>],
        activation: Activation,
        into: Option<Self::Data>,
        shape: Shape,
    ) -> Tried<Self::Data>;

    /// A copy of a map.
    fn copy(&mut self, map: &Map<Self::Data>) -> Tried<Self::Data>;
}

impl Rules for Sum {
    /// Inputs are added, not concatenated.
    fn output(&self, inputs: &[Shape]) -> Shape {
        inputs[0]
    }

    fn keeps(&self) -> Keeps {
        Keeps { output: self.activation != Activation::Identity, ..Keeps::default() }
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn takes_over(&self) -> bool {
        true
    }
}

impl<B: SumBackend> Differentiable<B> for Sum {
    fn forward(&self, e: &mut Executor<B>, inputs: &[Input<'_, B>], into: Option<Map<B::Data>>) -> Made<B> {
        let shape = match (&into, inputs) {
            (Some(into), _) => into.shape(),
            (None, [first, ..]) => first.map.shape(),
            (None, []) => return Err(missing("what is to be added")),
        };
        let cost = Cost::moving((inputs.len() + 2) as f64 * shape.values() as f64);
        match into {
            Some(into) => e.remake(cost, into, |b, data| b.sum(inputs, self.activation, Some(data), shape)),
            None => e.make(cost, shape, |b| b.sum(inputs, self.activation, None, shape)),
        }
    }

    fn output_gradient(&self, e: &mut Executor<B>, output: Option<&Map<B::Data>>, upstream: Map<B::Data>) -> Made<B> {
        match self.activation {
            Activation::Identity => Ok(upstream),
            activation => before(activation, e, output.ok_or_else(|| missing("an activation's output"))?, upstream),
        }
    }

    fn parameter_gradients(&self, _: &mut Executor<B>, _: &[Input<'_, B>], _: &Map<B::Data>) -> Tried<()> {
        Ok(())
    }

    fn input_gradient(&self, e: &mut Executor<B>, wanted: Wanted<'_, B>) -> Made<B> {
        let Wanted { shape, upstream, sum, .. } = wanted;
        match (upstream, sum) {
            (Upstream::Last(map), sum) => e.add(sum, map),
            (Upstream::Shared(map), Some(sum)) => e.add_to(sum, map),
            (Upstream::Shared(map), None) => e.make(Cost::moving(2.0 * shape.values() as f64), shape, |b| b.copy(map)),
        }
    }
}
