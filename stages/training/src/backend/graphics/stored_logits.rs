//! Logits as maps, with tensors.

use burn::tensor::Tensor;

use super::core::Graphics;
use super::tensors::wide;
use crate::layer::StoredLogitsBackend;
use crate::memory::Tried;
use crate::pass::Map;

impl StoredLogitsBackend for Graphics<'_> {
    fn stored(&mut self, logits: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        Ok(self.narrow(logits.data.clone()))
    }

    fn stored_input(&mut self, upstream: &Map<Tensor<4>>, sum: &mut Map<Tensor<4>>) -> Tried<()> {
        let gradient = wide(upstream.data.clone());
        sum.data.inplace(|sum| sum + gradient);
        Ok(())
    }
}
