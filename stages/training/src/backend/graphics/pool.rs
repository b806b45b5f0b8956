//! Max pooling: our kernel where the input is read through a norm, burn's on a plain map.

use burn::tensor::Tensor;
use burn::tensor::module::{max_pool2d, max_pool2d_with_indices, max_pool2d_with_indices_backward};
use burn::tensor::ops::MaxPoolOptions;

use super::core::Graphics;
use super::kernels::{self, Read};
use super::tensors::replace;
use crate::layer::MaxPoolBackend;
use crate::memory::Tried;
use crate::pass::{Input, Map};

fn halving() -> MaxPoolOptions<2> {
    MaxPoolOptions::new([2, 2]).with_stride([2, 2])
}

impl MaxPoolBackend for Graphics<'_> {
    fn pool(&mut self, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        Ok(match self.read(&input) {
            Read::Normed(normed) => kernels::pool(normed)?,
            Read::Plain(map) => max_pool2d(map, halving()),
        })
    }

    fn pool_input(&mut self, input: Input<'_, Self>, upstream: &Map<Tensor<4>>, sum: &mut Map<Tensor<4>>) -> Tried<()> {
        let upstream = upstream.data.clone();
        match self.read(&input) {
            Read::Normed(normed) => replace(&mut sum.data, |sum| Ok(kernels::pool_input(normed, upstream, sum)?)),
            Read::Plain(map) => {
                let (_, indices) = max_pool2d_with_indices(map.clone(), halving());
                let gradient = max_pool2d_with_indices_backward(map, [2, 2], [2, 2], [0, 0], [1, 1], false, upstream, indices);
                sum.data.inplace(|sum| sum + gradient);
                Ok(())
            }
        }
    }
}
