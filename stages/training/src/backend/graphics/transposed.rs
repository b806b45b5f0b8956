//! The transposed convolution: a matrix product over pixels, and kernels that arrange its windows.

use burn::tensor::{DType, Tensor};
use pipeline_kernels::Area;

use super::core::Graphics;
use super::costs::GraphicsCosts;
use super::kernels;
use super::tensors::rows;
use crate::backend::counting::Costs as _;
use crate::layer::{TransposedBackend, TransposedCall, TransposedConvolution};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

impl Graphics<'_> {
    /// The weights for maps with their channels last: `[inputs, 4 * outputs]`, the outputs of a window's pixels one after the
    /// other.
    fn window_weights(&self, layer: &TransposedConvolution) -> Tensor<2> {
        let &TransposedConvolution { inputs, outputs, .. } = layer;
        let weight = self.narrow(self.weight(layer.weight, [inputs, outputs, 4]));
        weight.swap_dims(1, 2).reshape([inputs, 4 * outputs])
    }
}

impl TransposedBackend for Graphics<'_> {
    fn upsample(&mut self, layer: &TransposedConvolution, input: Input<'_, Self>) -> Tried<Tensor<4>> {
        let Area { batch, height, width } = input.map.area;
        if let Some(chip) = self.chip()? {
            let weight = self.weight(layer.weight, [layer.inputs, layer.outputs, 2, 2]);
            let bias = layer.bias.map(|bias| self.weight(bias, [layer.outputs]));
            return Ok(kernels::upsample_by_units(&chip, self.read(&input), weight, bias)?);
        }
        let x = self.activated(self.read(&input))?;
        let blocks = rows(x).matmul(self.window_weights(layer));
        let bias = match layer.bias {
            Some(bias) => self.state.trained[bias].clone(),
            None => Tensor::zeros([layer.outputs], (&self.device(), DType::F32)),
        };
        Ok(kernels::upsample(blocks, bias, [batch, layer.outputs, height, width])?)
    }

    fn upsample_weight(
        &mut self,
        layer: &TransposedConvolution,
        input: Input<'_, Self>,
        upstream: &Map<Tensor<4>>,
    ) -> Tried<()> {
        let upstream = upstream.data.clone();
        if let Some(bias) = layer.bias {
            self.gather(bias, kernels::upsample_bias(upstream.clone())?)?;
        }
        if let Some(chip) = self.chip()? {
            let sum = self.sum(layer.weight)?;
            return Ok(kernels::upsample_weight_by_units(&chip, self.read(&input), upstream, sum)?);
        }
        let x = self.activated(self.read(&input))?;
        let gradient = kernels::upsample_weight(x, kernels::windows(upstream)?)?;
        self.gather(layer.weight, gradient.reshape([layer.inputs, 4, layer.outputs]).swap_dims(1, 2))
    }

    fn upsample_input(&mut self, layer: &TransposedConvolution, upstream: &Map<Tensor<4>>) -> Tried<Tensor<4>> {
        if let Some(chip) = self.chip()? {
            let weight = self.weight(layer.weight, [layer.inputs, layer.outputs, 2, 2]);
            return Ok(kernels::upsample_input(&chip, upstream.data.clone(), weight)?);
        }
        let [batch, _, height, width] = upstream.data.dims();
        let pixels = kernels::windows(upstream.data.clone())?.matmul(self.window_weights(layer).transpose());
        Ok(pixels.reshape([batch, height / 2, width / 2, layer.inputs]).permute([0, 3, 1, 2]))
    }

    fn upsample_scratch(&self, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        GraphicsCosts.transposed(self.precision, call, layer, area)
    }
}
