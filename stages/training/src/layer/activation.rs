//! Activations that a layer applies to its own output before storing it. (An activation after a norm belongs to the norm.)

use pipeline_kernels::Activation;

use crate::memory::Tried;
use crate::pass::{Backend, Cost, Executor, Made, Map};

/// What a backend implements for such an activation.
pub(crate) trait ActivationBackend: Backend {
    /// From the gradient after the activation to the gradient before it, in place; the sign of the activation's `output` decides.
    fn activation_gradient(
        &mut self,
        activation: Activation,
        output: &Map<Self::Data>,
        upstream: &mut Map<Self::Data>,
    ) -> Tried<()>;
}

/// The gradient before the activation.
pub(super) fn before<B: ActivationBackend>(
    activation: Activation,
    e: &mut Executor<B>,
    output: &Map<B::Data>,
    mut upstream: Map<B::Data>,
) -> Made<B> {
    let cost = Cost::moving(3.0 * output.shape().values() as f64);
    e.perform(cost, |b| b.activation_gradient(activation, output, &mut upstream))?;
    Ok(upstream)
}
