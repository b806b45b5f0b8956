//! The transposed convolution, with our kernels.

use pipeline_kernels as kernels;
use pipeline_kernels::Area;

use super::core::{Cpu, view};
use super::costs::{self, CpuCosts};
use super::values::{Store as _, Values, with, zeros};
use crate::backend::counting::Costs as _;
use crate::layer::{TransposedBackend, TransposedCall, TransposedConvolution};
use crate::memory::Tried;
use crate::pass::{Input, Map, Scratch};

impl TransposedBackend for Cpu<'_> {
    fn upsample(&mut self, layer: &TransposedConvolution, input: Input<'_, Self>) -> Tried<Values> {
        let area = input.map.area;
        let mut space = zeros(costs::transposed(layer, area))?;
        let bias = match layer.bias {
            Some(bias) => self.weight(bias, <[f32]>::to_vec)?,
            None => vec![0.0; layer.outputs],
        };
        Ok(with!(self.precision, E => {
            let mut out = zeros(4 * area.values(layer.outputs))?;
            self.weight(layer.weight, |weight| {
                kernels::upsample(view::<E>(&input), weight, &bias, area, &mut out, &mut space);
            })?;
            E::wrap(out)
        }))
    }

    fn upsample_weight(&mut self, layer: &TransposedConvolution, input: Input<'_, Self>, upstream: &Map<Values>) -> Tried<()> {
        let (area, outputs) = (input.map.area, layer.outputs);
        let mut space = zeros(costs::transposed(layer, area))?;
        let mut bias = vec![0.0; outputs];
        with!(self.precision, E => {
            let (view, upstream) = (view::<E>(&input), E::of(&upstream.data));
            self.gradient(layer.weight, |weight| {
                kernels::upsample_weight_gradient(view, upstream, outputs, area, weight, &mut bias, &mut space);
            })?;
        });
        match layer.bias {
            Some(slot) => Ok(self.gradient(slot, |gradient| kernels::add(gradient, &bias))?),
            None => Ok(()),
        }
    }

    fn upsample_input(&mut self, layer: &TransposedConvolution, upstream: &Map<Values>) -> Tried<Values> {
        let &TransposedConvolution { inputs, outputs, .. } = layer;
        let area = Area { height: upstream.area.height / 2, width: upstream.area.width / 2, ..upstream.area };
        let mut space = zeros(costs::transposed(layer, area))?;
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(inputs))?;
            let upstream = E::of(&upstream.data);
            self.weight(layer.weight, |weight| {
                kernels::upsample_input_gradient(upstream, weight, inputs, outputs, area, &mut out, &mut space);
            })?;
            E::wrap(out)
        }))
    }

    fn upsample_scratch(&self, call: TransposedCall, layer: &TransposedConvolution, area: Area) -> Scratch {
        CpuCosts.transposed(self.precision, call, layer, area)
    }
}
