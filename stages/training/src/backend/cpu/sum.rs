//! Sums of maps, activations on maps, and means of logits, with our kernels.

use pipeline_kernels as kernels;
use pipeline_kernels::Activation;

use super::core::{Cpu, views};
use super::values::{Store as _, Values, with, zeros};
use crate::layer::{ActivationBackend, MeanBackend, SumBackend};
use crate::memory::Tried;
use crate::pass::{Input, Map, Shape};

impl ActivationBackend for Cpu<'_> {
    fn activation_gradient(&mut self, activation: Activation, output: &Map<Values>, upstream: &mut Map<Values>) -> Tried<()> {
        with!(self.precision, E => {
            kernels::activation_gradient(E::of(&output.data), E::of_mut(&mut upstream.data), activation);
        });
        Ok(())
    }
}

impl SumBackend for Cpu<'_> {
    fn sum(&mut self, inputs: &[Input<'_, Self>], activation: Activation, into: Option<Values>, shape: Shape) -> Tried<Values> {
        Ok(with!(self.precision, E => {
            let views = views::<E>(inputs);
            let keep = into.is_some();
            let mut out = match into {
                Some(into) => into,
                None => E::wrap(zeros(shape.area.values(shape.channels))?),
            };
            kernels::sum(&views, activation, shape.area, E::of_mut(&mut out), keep);
            out
        }))
    }

    fn copy(&mut self, map: &Map<Values>) -> Tried<Values> {
        Ok(with!(map.data.precision(), E => {
            let mut out = zeros(map.area.values(map.channels))?;
            out.copy_from_slice(E::of(&map.data));
            E::wrap(out)
        }))
    }
}

impl MeanBackend for Cpu<'_> {
    fn scaled_sum(&mut self, maps: &[&Map<Values>], factor: f32) -> Tried<Values> {
        let mut out: Vec<f32> = zeros(maps.first().map_or(0, |map| map.area.values(map.channels)))?;
        for map in maps {
            kernels::add(&mut out, f32::of(&map.data));
        }
        out.iter_mut().for_each(|value| *value *= factor);
        Ok(Values::Float32(out))
    }
}
