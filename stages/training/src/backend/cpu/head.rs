//! The head, with our kernels.

use pipeline_kernels as kernels;

use super::core::{Cpu, view};
use super::values::{Store as _, Values, with, zeros};
use crate::layer::{Head, HeadBackend};
use crate::memory::Tried;
use crate::pass::{Input, Map};

impl HeadBackend for Cpu<'_> {
    fn head(&mut self, layer: &Head, input: Input<'_, Self>) -> Tried<Values> {
        let area = input.map.area;
        let bias = self.weight(layer.bias, <[f32]>::to_vec)?;
        let mut out = zeros(area.values(layer.outputs))?;
        with!(self.precision, E => {
            let view = view::<E>(&input);
            self.weight(layer.weight, |weight| kernels::pointwise(view, weight, &bias, area, &mut out))?;
        });
        Ok(Values::Float32(out))
    }

    fn head_weight(&mut self, layer: &Head, input: Input<'_, Self>, upstream: &Map<Values>) -> Tried<()> {
        let (area, outputs) = (upstream.area, layer.outputs);
        let mut bias = vec![0.0; outputs];
        with!(self.precision, E => {
            let (view, upstream) = (view::<E>(&input), f32::of(&upstream.data));
            self.gradient(layer.weight, |weight| {
                kernels::pointwise_weight_gradient(view, upstream, outputs, area, weight, &mut bias);
            })?;
        });
        Ok(self.gradient(layer.bias, |gradient| kernels::add(gradient, &bias))?)
    }

    fn head_input(&mut self, layer: &Head, upstream: &Map<Values>) -> Tried<Values> {
        let (area, &Head { inputs, outputs, .. }) = (upstream.area, layer);
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(inputs))?;
            let upstream = f32::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::pointwise_input_gradient(upstream, weight, inputs, outputs, area, &mut out);
            })?;
            E::wrap(out)
        }))
    }
}
