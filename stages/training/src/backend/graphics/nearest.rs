//! Nearest-neighbour upsampling, with tensors.

use burn::tensor::Tensor;
use pipeline_kernels::Area;

use super::core::Graphics;
use super::tensors::wide;
use crate::layer::NearestBackend;
use crate::memory::Tried;
use crate::pass::{Input, Map};

impl NearestBackend for Graphics<'_> {
    fn nearest(&mut self, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let x = self.activated(self.read(&input))?;
        let [batch, channels, height, width] = x.dims();
        // Channels last in memory, as convolutions take it.
        let x = x.permute([0, 2, 3, 1]).reshape([batch * height, 1, width, 1, channels]);
        let x = x.expand([batch * height, 2, width, 2, channels]);
        Ok(x.reshape([batch, 2 * height, 2 * width, channels]).permute([0, 3, 1, 2]))
    }

    fn nearest_input(&mut self, upstream: &Map<Tensor<4>>, area: Area) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = area;
        let channels = upstream.channels;
        let blocks = wide(upstream.data.clone()).permute([0, 2, 3, 1]);
        let sums = blocks.reshape([batch * height, 2, width, 2, channels]).sum_dim(3).sum_dim(1);
        Ok(self.narrow(sums.reshape([batch, height, width, channels])).permute([0, 3, 1, 2]))
    }
}
