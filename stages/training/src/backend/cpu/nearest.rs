//! Nearest-neighbour upsampling, with our kernels.

use pipeline_kernels as kernels;
use pipeline_kernels::Area;

use super::core::{Cpu, view};
use super::values::{Store as _, Values, with, zeros};
use crate::layer::NearestBackend;
use crate::memory::Tried;
use crate::pass::{Input, Map};

impl NearestBackend for Cpu<'_> {
    fn nearest(&mut self, input: Input<'_, Self>) -> Tried<Values> {
        let area = input.map.area;
        Ok(with!(self.precision, E => {
            let mut out = zeros(4 * area.values(input.map.channels))?;
            kernels::upsample_nearest(view::<E>(&input), area, &mut out);
            E::wrap(out)
        }))
    }

    fn nearest_input(&mut self, upstream: &Map<Values>, area: Area) -> Tried<Values> {
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(upstream.channels))?;
            kernels::upsample_nearest_gradient(E::of(&upstream.data), area, &mut out);
            E::wrap(out)
        }))
    }
}
