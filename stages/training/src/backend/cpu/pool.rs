//! Max pooling, with our kernels.

use pipeline_kernels as kernels;

use super::core::{Cpu, view};
use super::values::{Store as _, Values, with, zeros};
use crate::layer::MaxPoolBackend;
use crate::memory::Tried;
use crate::pass::{Input, Map};

impl MaxPoolBackend for Cpu<'_> {
    fn pool(&mut self, input: Input<'_, Self>) -> Tried<Values> {
        let area = input.map.area;
        Ok(with!(self.precision, E => {
            let mut out = zeros(area.values(input.map.channels) / 4)?;
            kernels::pool(view::<E>(&input), area, &mut out);
            E::wrap(out)
        }))
    }

    fn pool_input(&mut self, input: Input<'_, Self>, upstream: &Map<Values>, sum: &mut Map<Values>) -> Tried<()> {
        let area = input.map.area;
        with!(self.precision, E => {
            kernels::pool_gradient(view::<E>(&input), E::of(&upstream.data), area, E::of_mut(&mut sum.data));
        });
        Ok(())
    }
}
